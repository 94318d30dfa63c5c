"""How far every rule is from the target's law, whichever way the guesses are drawn."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tokenarium.backend.speculation.rule import registered
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from tokenarium.backend.speculation.enumeration import Bias

DRAWS: tuple[Draw, ...] = ("deterministic", "iid", "without_replacement")
CHILDREN = 2


@dataclass(frozen=True)
class Biases:
    """One rule's output against the target's law."""

    rule: str
    title: str
    promise: str
    by_draw: "dict[Draw, Bias]"
    """Exact, over the same random laws for every rule."""


@cache
def biases() -> tuple[Biases, ...]:
    """Return every rule that is for temperatures above 0, with two children of every draw."""
    from tokenarium.backend.speculation.enumeration import bias

    return tuple(
        Biases(
            rule.slug,
            rule.title,
            rule.promise,
            {draw: bias(rule(), draw, CHILDREN) for draw in DRAWS},
        )
        for rule in registered()
        if not rule.at_zero
    )
