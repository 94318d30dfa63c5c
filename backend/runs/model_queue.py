"""First come, first served: one run at a time per model, and everyone is told their place."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.events import CancelToken

# How soon a waiting run notices that it was cancelled.
_POLL_S = 0.05


@dataclass(frozen=True, eq=False)
class _Ticket:
    owner: str


class ModelQueue:
    """A queue per name; the first ticket of each lane runs, the others wait.

    Args:
        size: tickets that may wait, over all lanes together.
        per_owner: tickets one named owner may hold, waiting or running; None for no limit.
    """

    def __init__(self, size: int, per_owner: int | None = None) -> None:
        self._size = size
        self._per_owner = per_owner
        self._changed = threading.Condition()
        self._queue: dict[str, deque[_Ticket]] = {}

    @contextmanager
    def turn(
        self, name: str, cancel: CancelToken, on_place: Callable[[int], None], owner: str = ""
    ) -> Iterator[None]:
        """Wait for the turn in lane ``name`` and hold it.

        Args:
            name: what may be used by one run at a time.
            cancel: ends the waiting when it is cancelled.
            on_place: called with the place (1 is next) whenever it changes while waiting.
            owner: who asks; empty is exempt from ``per_owner``.

        Raises:
            UserError: if the queue, or the owner's part of it, is full.
            Cancelled: if cancelled while waiting.
        """
        ticket = _Ticket(owner)
        self._join(name, ticket)
        try:
            self._wait(name, ticket, cancel, on_place)
            yield
        finally:
            self._leave(name, ticket)

    def waiting(self, name: str | None = None) -> int:
        """Return how many wait in lane ``name``, or in all lanes."""
        with self._changed:
            lanes = self._queue.values() if name is None else [self._queue.get(name, deque())]
            return sum(max(len(lane) - 1, 0) for lane in lanes)

    def _join(self, name: str, ticket: _Ticket) -> None:
        with self._changed:
            waiting = sum(len(lane) - 1 for lane in self._queue.values())
            if name in self._queue and waiting >= self._size:
                raise UserError(
                    f"busy: {waiting} requests are waiting and the queue holds {self._size}: "
                    "try again in a moment"
                )
            held = sum(t.owner == ticket.owner for lane in self._queue.values() for t in lane)
            if ticket.owner and self._per_owner is not None and held >= self._per_owner:
                raise UserError(
                    f"busy: {held} of your requests are running or waiting and {self._per_owner} "
                    "are allowed: wait for one to finish, or cancel it"
                )
            self._queue.setdefault(name, deque()).append(ticket)

    def _wait(
        self, name: str, ticket: _Ticket, cancel: CancelToken, on_place: Callable[[int], None]
    ) -> None:
        told = 0
        while True:
            with self._changed:
                place = self._queue[name].index(ticket)
                if place == told and place > 0:
                    self._changed.wait(_POLL_S)
                    place = self._queue[name].index(ticket)
            cancel.check()
            if place == 0:
                return
            if place != told:
                told = place
                on_place(place)

    def _leave(self, name: str, ticket: _Ticket) -> None:
        with self._changed:
            lane = self._queue[name]
            lane.remove(ticket)
            if not lane:
                del self._queue[name]
            self._changed.notify_all()
