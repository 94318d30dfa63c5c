"""What each unit adds on average, over every order in which the units could come in."""

from math import factorial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tokenarium.backend.attribution.attributor import Attribution, Attributor, Needs
from tokenarium.backend.attribution.sampled import with_interval

if TYPE_CHECKING:
    from tokenarium.backend.attribution.game import Game

EXACT = 10
"""Units up to which every set is read: 1,024 of them."""


class TextGenShap(Attributor):
    """Score of unit i: the mean over orders of v(those before i and i) - v(those before i)."""

    slug = "textgen_shap"
    title = "Shapley (TextGenSHAP)"
    explanation = (
        "Adds units one by one in random orders, the others deleted: a unit's score is what it "
        "adds on average, so that two words that only work together share the credit."
    )
    paper = "Enouen et al., 2023, arXiv:2312.01279; Shapley, 1953; Castro et al., 2009"
    differs = (
        "one level of units at a time; the target is one token, so that no generation is shared; "
        "orders come in pairs, each beside its reverse (Mitchell et al., 2022, arXiv:2104.12199)"
    )
    needs: ClassVar[Needs] = "passes"
    unit = "nats"

    pairs: int = Field(
        10,
        ge=2,
        le=64,
        description="Pairs of orders that are averaged; up to ten units every set is read instead, "
        "and the scores are exact.",
    )

    def passes(self, units: int, tokens: int) -> int:  # noqa: ARG002
        """Every set of few units, else one text for each unit of each order."""
        return 2**units if units <= EXACT else 2 * self.pairs * (units - 1) + 2

    def attribute(self, game: "Game") -> Attribution:
        """Return the means, exact for few units, else with intervals."""
        units = len(game.units)
        if units <= EXACT:
            sets = (np.arange(2**units)[:, None] >> np.arange(units)) & 1
            return Attribution(exact(sets.astype(bool), game.values(sets.astype(bool))))
        random = np.random.default_rng([game.seed, units])
        orders = np.stack([random.permutation(units) for _ in range(self.pairs)])
        gains = np.stack([_gains(game, order) for order in (*orders, *orders[:, ::-1])])
        return with_interval((gains[: self.pairs] + gains[self.pairs :]) / 2)


def exact(sets: NDArray[np.bool_], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Shapley values [U] from the values [2^U] of all sets [2^U, U].

    Set number s holds unit i where bit i of s is 1.
    """
    units = sets.shape[1]
    size = sets.sum(1)
    ways = np.array([factorial(n) * factorial(units - 1 - n) for n in range(units)])
    weight = ways / factorial(units)
    found = np.empty(units)
    for unit in range(units):
        without = np.flatnonzero(~sets[:, unit])
        gain = values[without + (1 << unit)] - values[without]
        found[unit] = (weight[size[without]] * gain).sum()
    return found


def _gains(game: "Game", order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return [U] what each unit adds where they come in this order."""
    units = len(order)
    place = np.empty(units, np.int64)
    place[order] = np.arange(units)
    values = game.values(place[None] < np.arange(units + 1)[:, None])
    return np.diff(values)[place]
