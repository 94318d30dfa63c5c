"""Few runs at once per model, in turn for each address and each visitor; all know their place."""

import itertools
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.runs.places import (
    Limits,
    Place,
    TakePlace,
    counted_together,
    place_of,
    refuse_in_class,
)

# How soon a waiting run notices that it was cancelled.
_POLL_S = 0.05
_MOST_TURNS = 4_096


class ModelQueue:
    """A queue per model; the first of each run, the others wait.

    Of those who wait, the address that had its turn longest ago comes first, within it the visitor,
    then who came first.

    Args:
        size: runs that may wait, over all models together.
        limits: of one owner and of one address.
        at_once: runs of one model that have their turn at the same time.
        elsewhere: counts the same limits over all replicas; None where there is one.
    """

    def __init__(
        self,
        size: int,
        limits: Limits | None = None,
        at_once: int = 1,
        elsewhere: TakePlace | None = None,
    ) -> None:
        self._size = size
        self._limits = limits or Limits()
        self._at_once, self._elsewhere = at_once, elsewhere
        self._give_back: dict[Place, list[Callable[[], None]]] = {}
        self._running: set[Place] = set()
        self._changed = threading.Condition()
        self._queue: dict[str, deque[Place]] = {}
        self._came: dict[Place, int] = {}
        self._number = itertools.count(1)
        self._turns: OrderedDict[tuple[str, str], int] = OrderedDict()

    def join(self, name: str, visitor: str = "") -> Place:
        """Take a place for model ``name``; ``turn`` or ``leave`` must follow.

        Args:
            name: what may be used by one run at a time.
            visitor: who asks, a ``Visitor`` where the address is known; empty is exempt from
                limits.

        Raises:
            UserError: if the queue, or the visitor's part of it, is full.
        """
        place = place_of(name, visitor)
        taken = self._taken_elsewhere(place)
        try:
            return self._joined(name, place, taken)
        except UserError:
            for give_back in taken:
                give_back()
            raise

    def _joined(self, name: str, place: Place, taken: list[Callable[[], None]]) -> Place:
        with self._changed:
            waiting = sum(not other.group for other in self._came if other not in self._running)
            if self._is_full(name) and waiting >= self._size and not place.group:
                raise UserError(
                    f"busy: {waiting} requests are waiting and the queue holds {self._size}: "
                    "try again in a moment"
                )
            self._refuse(place)
            self._came[place] = next(self._number)
            self._give_back[place] = taken
            places = self._queue.setdefault(name, deque())
            places.append(place)
            self._order(places)
            self._changed.notify_all()
            return place

    def admit(self, visitor: str) -> None:
        """Refuse a visitor whose part of the queue is full, before anything is done for them.

        Raises:
            UserError: as ``join`` would.
        """
        with self._changed:
            self._refuse(place_of("", visitor))

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
            places = (place for place in self._came if name in (None, place.name))
            return sum(place not in self._running for place in places)

    def leave(self, place: Place) -> None:
        """Give a place up."""
        with self._changed:
            places = self._queue[place.name]
            places.remove(place)
            self._running.discard(place)
            del self._came[place]
            if not places:
                del self._queue[place.name]
            else:
                self._order(places)
            self._changed.notify_all()
            taken = self._give_back.pop(place)
        for give_back in taken:
            give_back()

    def _taken_elsewhere(self, place: Place) -> list[Callable[[], None]]:
        """Take the places that all replicas count together.

        Raises:
            UserError: if there is none.
        """
        taken: list[Callable[[], None]] = []
        if self._elsewhere is None:
            return taken
        for name, most, words in counted_together(place, self._limits):
            give_back = self._elsewhere(name, most)
            if give_back is None:
                for earlier in taken:
                    earlier()
                raise UserError(
                    f"busy: {most} requests of {words} are running or waiting, here or at another "
                    f"replica, and {most} are allowed: wait for one to finish"
                )
            taken.append(give_back)
        return taken

    def _refuse(self, place: Place) -> None:
        """Raise if a limit is reached; the lock is held."""
        if not place.owner and not place.group:
            return
        limits = self._limits
        places = list(self._came)
        own = sum(other.owner == place.owner for other in places)
        if limits.per_owner is not None and own >= limits.per_owner:
            raise UserError(
                f"busy: {own} of your requests are running or waiting and {limits.per_owner} "
                "are allowed: wait for one to finish, or cancel it"
            )
        if place.group:
            refuse_in_class(place, places, limits)
            return
        near = [
            other
            for other in places
            if place.address and other.address == place.address and not other.group
        ]
        new = sum(not other.known for other in near)
        if limits.per_unknown is not None and not place.known and new >= limits.per_unknown:
            raise UserError(
                f"busy: {new} requests of visitors who are new here are running or waiting at your "
                f"address and {limits.per_unknown} are allowed: try again in a moment, with the "
                "same cookie"
            )
        if limits.per_address is not None and len(near) >= limits.per_address:
            raise UserError(
                f"busy: {len(near)} requests of your address are running or waiting and "
                f"{limits.per_address} are allowed: try again in a moment"
            )

    def _is_full(self, name: str) -> bool:
        """Return whether as many runs of a model as may have their turn; the lock is held."""
        places = self._queue.get(name, ())
        return sum(place in self._running for place in places) >= self._at_once

    def _order(self, places: deque[Place]) -> None:
        """Give turns that are free, and put those who wait in the order of theirs; lock is held."""
        waiting = sorted(places, key=self._came.__getitem__)
        running = [place for place in places if place in self._running]
        waiting = [place for place in waiting if place not in self._running]
        while waiting and len(running) < self._at_once:
            first = _following(waiting, self._turns)
            waiting.remove(first)
            running.append(first)
            self._running.add(first)
            self._has_turn(first)
        turns = dict(self._turns)
        ordered: list[Place] = []
        while waiting:
            following = _following(waiting, turns)
            waiting.remove(following)
            ordered.append(following)
            turns[following.of_address] = turns[following.of_person] = next(self._number)
        places.clear()
        places.extend(running + ordered)

    def _has_turn(self, place: Place) -> None:
        """Remember whose turn it was last; the lock is held."""
        for key in (place.of_address, place.of_person):
            self._turns[key] = next(self._number)
            self._turns.move_to_end(key)
        while len(self._turns) > _MOST_TURNS:
            self._turns.popitem(last=False)

    def _place_in_line(self, place: Place) -> int:
        """Return 0 for one that has its turn, 1 for the next; the lock is held."""
        if place in self._running:
            return 0
        places = self._queue[place.name]
        return places.index(place) + 1 - sum(other in self._running for other in places)

    def _wait(self, place: Place, cancel: CancelToken, on_place: Callable[[int], None]) -> None:
        last = 0
        while True:
            with self._changed:
                number = self._place_in_line(place)
                if number == last and number > 0:
                    self._changed.wait(_POLL_S)
                    number = self._place_in_line(place)
            cancel.check()
            if number == 0:
                return
            if number != last:
                last = number
                on_place(number)


def _following(waiting: list[Place], turns: Mapping[tuple[str, str], int]) -> Place:
    """Return whose address, and within it who, had its turn longest ago."""
    return min(
        waiting,
        key=lambda place: (turns.get(place.of_address, 0), turns.get(place.of_person, 0)),
    )
