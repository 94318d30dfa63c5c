"""First come, first served: one run at a time per model, and everyone knows their place."""

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
class Place:
    """One run's place in the queue of a model."""

    name: str
    owner: str


class ModelQueue:
    """A queue per model; the first of each runs, the others wait.

    Args:
        size: runs that may wait, over all models together.
        per_owner: runs one named owner may have, waiting or running; None for no limit.
    """

    def __init__(self, size: int, per_owner: int | None = None) -> None:
        self._size = size
        self._per_owner = per_owner
        self._changed = threading.Condition()
        self._queue: dict[str, deque[Place]] = {}

    def join(self, name: str, owner: str = "") -> Place:
        """Take the last place for model ``name``; ``turn`` or ``leave`` must follow.

        Args:
            name: what may be used by one run at a time.
            owner: who asks; empty is exempt from ``per_owner``.

        Raises:
            UserError: if the queue, or the owner's part of it, is full.
        """
        with self._changed:
            waiting = sum(len(places) - 1 for places in self._queue.values())
            if name in self._queue and waiting >= self._size:
                raise UserError(
                    f"busy: {waiting} requests are waiting and the queue holds {self._size}: "
                    "try again in a moment"
                )
            own = sum(place.owner == owner for places in self._queue.values() for place in places)
            if owner and self._per_owner is not None and own >= self._per_owner:
                raise UserError(
                    f"busy: {own} of your requests are running or waiting and {self._per_owner} "
                    "are allowed: wait for one to finish, or cancel it"
                )
            place = Place(name, owner)
            self._queue.setdefault(name, deque()).append(place)
            return place

    @contextmanager
    def turn(
        self, place: Place, cancel: CancelToken, on_place: Callable[[int], None]
    ) -> Iterator[None]:
        """Wait for the turn and have it; the place is given up in the end.

        Args:
            place: as taken.
            cancel: ends the waiting when it is cancelled.
            on_place: called with the number (1 is next) whenever it changes while waiting.

        Raises:
            Cancelled: if cancelled while waiting.
        """
        try:
            self._wait(place, cancel, on_place)
            yield
        finally:
            self.leave(place)

    def waiting(self, name: str | None = None) -> int:
        """Return how many wait for model ``name``, or for any."""
        with self._changed:
            queues = self._queue.values() if name is None else [self._queue.get(name, deque())]
            return sum(max(len(places) - 1, 0) for places in queues)

    def leave(self, place: Place) -> None:
        """Give a place up."""
        with self._changed:
            places = self._queue[place.name]
            places.remove(place)
            if not places:
                del self._queue[place.name]
            self._changed.notify_all()

    def _wait(self, place: Place, cancel: CancelToken, on_place: Callable[[int], None]) -> None:
        last = 0
        while True:
            with self._changed:
                number = self._queue[place.name].index(place)
                if number == last and number > 0:
                    self._changed.wait(_POLL_S)
                    number = self._queue[place.name].index(place)
            cancel.check()
            if number == 0:
                return
            if number != last:
                last = number
                on_place(number)
