"""One run at a time per model, in turn for each address and each visitor; all know their place."""

import itertools
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.runs.visitor import Visitor

# How soon a waiting run notices that it was cancelled.
_POLL_S = 0.05


_MOST_TURNS = 4_096


@dataclass(frozen=True)
class Limits:
    """How many runs may be waiting or running at once; None for no limit.

    Args:
        per_owner: of one named owner.
        per_address: of all visitors of one address.
        per_unknown: of all visitors of one address whose names were not seen before, so that a new
            name for each request wins nothing.
        per_class: of all members of one class, who count neither for their address nor for the
            size of the queue.
        classes: of the members of all classes together.
    """

    per_owner: int | None = None
    per_address: int | None = None
    per_unknown: int | None = None
    per_class: int | None = None
    classes: int | None = None


@dataclass(frozen=True, eq=False)
class Place:
    """One run's place in the queue of a model."""

    name: str
    owner: str
    address: str = ""
    known: bool = True
    group: str = ""

    @property
    def of_address(self) -> tuple[str, str]:
        """Whose turn it is among addresses; visitors of no address are each by themselves.

        A class counts as one address, wherever its members are.
        """
        if self.group:
            return ("class", self.group)
        return ("address", self.address) if self.address else ("owner", self.owner)

    @property
    def of_person(self) -> tuple[str, str]:
        """Whose turn it is within an address: all that were not seen before are one."""
        return ("owner", self.owner) if self.known or self.group else ("unknown", self.address)


class ModelQueue:
    """A queue per model; the first of each runs, the others wait.

    Of those who wait, the address that had its turn longest ago comes first, within it the visitor,
    then who came first.

    Args:
        size: runs that may wait, over all models together.
        limits: of one owner and of one address.
    """

    def __init__(self, size: int, limits: Limits = Limits()) -> None:
        self._size = size
        self._limits = limits
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
        place = _place(name, visitor)
        with self._changed:
            waiting = sum(
                not other.group for places in self._queue.values() for other in list(places)[1:]
            )
            if name in self._queue and waiting >= self._size and not place.group:
                raise UserError(
                    f"busy: {waiting} requests are waiting and the queue holds {self._size}: "
                    "try again in a moment"
                )
            self._refuse(place)
            self._came[place] = next(self._number)
            places = self._queue.setdefault(name, deque())
            places.append(place)
            self._order(places, began=len(places) == 1)
            self._changed.notify_all()
            return place

    def admit(self, visitor: str) -> None:
        """Refuse a visitor whose part of the queue is full, before anything is done for them.

        Raises:
            UserError: as ``join`` would.
        """
        with self._changed:
            self._refuse(_place("", visitor))

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
            began = places[0] is place
            places.remove(place)
            del self._came[place]
            if not places:
                del self._queue[place.name]
            else:
                self._order(places, began=began)
            self._changed.notify_all()

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
            _refuse_in_class(place, places, limits)
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

    def _order(self, places: deque[Place], *, began: bool) -> None:
        """Put those who wait in the order of their turns; the lock is held.

        Args:
            places: of one model; the first runs, or will now.
            began: whether the first has only now come to its turn.
        """
        turns = dict(self._turns)
        waiting = sorted(places, key=self._came.__getitem__)
        ordered: list[Place] = []
        if not began:
            ordered.append(places[0])
            waiting.remove(places[0])
        while waiting:
            following = min(
                waiting, key=lambda p: (turns.get(p.of_address, 0), turns.get(p.of_person, 0))
            )
            waiting.remove(following)
            ordered.append(following)
            turns[following.of_address] = turns[following.of_person] = next(self._number)
        places.clear()
        places.extend(ordered)
        if began:
            first = places[0]
            for key in (first.of_address, first.of_person):
                self._turns[key] = next(self._number)
                self._turns.move_to_end(key)
            while len(self._turns) > _MOST_TURNS:
                self._turns.popitem(last=False)

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


def _refuse_in_class(place: Place, places: list[Place], limits: Limits) -> None:
    """Raise if the members of a class, or of all classes, have no room."""
    members = [other for other in places if other.group]
    mine = sum(other.group == place.group for other in members)
    if limits.per_class is not None and mine >= limits.per_class:
        raise UserError(
            f"busy: {mine} requests of your class are running or waiting and {limits.per_class} "
            "are allowed: try again in a moment"
        )
    if limits.classes is not None and len(members) >= limits.classes:
        raise UserError(
            f"busy: {len(members)} requests of classes are running or waiting and "
            f"{limits.classes} are allowed: try again in a moment"
        )


def _place(name: str, visitor: str) -> Place:
    if isinstance(visitor, Visitor):
        return Place(name, str(visitor), visitor.address, visitor.known, visitor.group)
    return Place(name, visitor)
