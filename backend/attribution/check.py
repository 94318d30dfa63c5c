"""Whether deleting the units that a map names does more than deleting others."""

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

DRAWS = 20
STUDENT = 2.093
"""97.5 % point of Student's t with 19 degrees of freedom."""
LEVEL = 0.05


@dataclass(frozen=True)
class Faithfulness:
    """How far the log probability of the target drops when units are deleted."""

    k: int
    """Units that are deleted together."""
    drop: float
    """Of the k highest, in nats."""
    random: NDArray[np.float64]
    """Of other sets of k, in nats: twenty different ones, or of few all, the map's own included."""
    mean: float
    """Of ``random``."""
    low: float
    """Lower end of the 95 % interval of the mean; NaN where every set was tried."""
    high: float
    """Upper end."""
    p: float
    """Share of sets that do as much, the map's own among them."""
    verdict: str
    """"beats chance", "does not beat chance", or "too few units"."""

    @staticmethod
    def of(result: "Checked") -> "Faithfulness":
        """Return the check as a result keeps it, value by value."""
        return Faithfulness(
            result.check_k,
            result.check_drop_nats,
            result.check_random_nats,
            float(result.check_random_nats.mean()),
            result.check_low_nats,
            result.check_high_nats,
            result.check_p,
            result.verdict,
        )


class Checked(Protocol):
    """A result that keeps a check; see ``Faithfulness`` for what each value is."""

    @property
    def check_k(self) -> int: ...
    @property
    def check_drop_nats(self) -> float: ...
    @property
    def check_random_nats(self) -> NDArray[np.float64]: ...
    @property
    def check_low_nats(self) -> float: ...
    @property
    def check_high_nats(self) -> float: ...
    @property
    def check_p(self) -> float: ...
    @property
    def verdict(self) -> str: ...


class Valued(Protocol):
    """Units of something, such as words of a text, and what it is worth with some left out."""

    random: np.random.Generator
    """Draws the sets that are left out by chance."""

    @property
    def whole(self) -> float:
        """What it is worth as it is."""
        ...

    def values(self, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return [N] what it is worth with the units that are kept [N, U]."""
        ...


def usual_k(units: int) -> int:
    """Return how many units are deleted where nobody says it: a fifth, at least one."""
    return max(1, round(units / 5))


def check(game: Valued, scores: NDArray[np.float64], k: int | None) -> Faithfulness:
    """Delete the k highest units, and k at random; see which makes the target less likely.

    Args:
        game: the text.
        scores: [U] of the method.
        k: units to delete; None takes a fifth.
    """
    units = len(scores)
    k = min(usual_k(units) if k is None else k, units)
    every = comb(units, k)
    # Ties go to the earlier unit.
    best = np.argsort(-scores, kind="stable")[:k]
    if every <= DRAWS:
        sets = [list(chosen) for chosen in combinations(range(units), k)]
    else:
        sets = _others(game.random, units, best.tolist())
    kept = np.ones((1 + len(sets), units), bool)
    for row, chosen in zip(kept, [best.tolist(), *sets], strict=True):
        row[chosen] = False
    values = game.values(kept)
    drops = game.whole - values
    drop, random = float(drops[0]), drops[1:]
    as_much = int((random >= drop - 1e-9).sum())
    p = as_much / every if every <= DRAWS else (1 + as_much) / (1 + DRAWS)
    least = 1 / every if every <= DRAWS else 1 / (1 + DRAWS)
    mean = float(random.mean())
    half = STUDENT * float(random.std(ddof=1)) / DRAWS**0.5 if every > DRAWS else float("nan")
    verdict = "beats chance" if p <= LEVEL else "does not beat chance"
    if least > LEVEL:
        verdict = "too few units"
    return Faithfulness(k, drop, random, mean, mean - half, mean + half, p, verdict)


def _others(random: np.random.Generator, units: int, best: list[int]) -> list[list[int]]:
    """Return twenty different sets of as many units as ``best``, none of them the same."""
    found: dict[frozenset[int], None] = {}
    while len(found) < DRAWS:
        drawn = frozenset(random.choice(units, len(best), replace=False).tolist())
        if drawn != frozenset(best):
            found[drawn] = None
    return [sorted(drawn) for drawn in found]
