"""Places in the queue of a model, and how many of them somebody may have."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.visitor import Visitor


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


TakePlace = Callable[[str, int], Callable[[], None] | None]
"""Takes one of so many places that a name has at all replicas; returns what gives it back."""


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


def refuse_in_class(place: Place, places: list[Place], limits: Limits) -> None:
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


def counted_together(place: Place, limits: Limits) -> Iterator[tuple[str, int, str]]:
    """Yield each limit that a place counts for: its name, its number, and whose it is in words."""
    if not place.owner and not place.group:
        return
    if place.owner and limits.per_owner is not None:
        yield f"visitor {place.owner}", limits.per_owner, "yours"
    if place.group and limits.per_class is not None:
        yield f"class {place.group}", limits.per_class, "your class"
    if place.group or not place.address:
        return
    if not place.known and limits.per_unknown is not None:
        yield f"new at {place.address}", limits.per_unknown, "new visitors at your address"
    if limits.per_address is not None:
        yield f"address {place.address}", limits.per_address, "your address"


def place_of(name: str, visitor: str) -> Place:
    """Return a place for model ``name``; of a plain text as visitor no address is known."""
    if isinstance(visitor, Visitor):
        return Place(name, str(visitor), visitor.address, visitor.known, visitor.group)
    return Place(name, visitor)
