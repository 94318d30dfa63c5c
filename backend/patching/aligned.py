"""Which tokens of two prompts stand for each other."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenarium.backend.attribution.units import Unit


@dataclass(frozen=True)
class Pair:
    """A unit of the text beside its counterpart in the other text."""

    unit: Unit
    here: tuple[int, ...]
    """Positions in the text that have a counterpart."""
    there: tuple[int, ...]
    """Their counterparts."""
    changes: bool
    """Whether anything here can differ: not before the first token that does."""


def aligned(text: Sequence[int], other: Sequence[int]) -> list[tuple[int, int]]:
    """Return positions that stand for each other: both beginnings, both ends, and what is between.

    Where different numbers of tokens stand between, the last ones of both stand for each other,
    because a word's last token knows all of it. ``aligned([1, 2, 3], [1, 8, 9, 3])`` is
    ``[(0, 0), (1, 2), (2, 3)]``.
    """
    shorter = min(len(text), len(other))
    first = next((at for at in range(shorter) if text[at] != other[at]), shorter)
    from_end = range(1, shorter - first + 1)
    return [(at, at) for at in range(first)] + [
        (len(text) - back, len(other) - back) for back in reversed(from_end)
    ]


def pairs_of(units: Sequence[Unit], text: Sequence[int], other: Sequence[int]) -> tuple[Pair, ...]:
    """Return the units of the text beside their counterparts."""
    across = dict(aligned(text, other))
    first = next((at for at, there in across.items() if text[at] != other[there]), len(text))
    if len(text) != len(other):
        first = min(first, next((a for a, b in across.items() if a != b), len(text)))
    found = []
    for unit in units:
        here = tuple(at for at in range(unit.start, unit.stop) if at in across)
        there = tuple(across[at] for at in here)
        found.append(Pair(unit, here, there, any(at >= first for at in here)))
    return tuple(found)
