"""Bounds that hold whatever the numbers' distribution is, from few exercises."""

from collections.abc import Sequence
from functools import cache
from math import comb, log, log1p

import numpy as np

CLOPPER_PEARSON = "Clopper & Pearson, 1934, doi:10.1093/biomet/26.4.404"
MEDIAN = "Thompson, 1936, doi:10.1214/aoms/1177732505"
_HALVINGS = 60


@cache
def share_at_least(holding: int, of: int, alpha: float) -> float:
    """Return the share that at least holds, wrongly so with a probability of at most ``alpha``.

    The lower end of the one-sided interval of Clopper and Pearson: the share p at which ``holding``
    or more of ``of`` have the probability ``alpha``. Where all hold it is alpha ** (1 / of).

    Paper: Clopper & Pearson, 1934, doi:10.1093/biomet/26.4.404.
    Args:
        holding: exercises that hold, 0 to ``of``.
        of: independent exercises, at least 1.
        alpha: probability of a bound that is too high, above 0 and below 1.
    Raises: ValueError where an argument is out of its range.
    """
    if of < 1 or not 0 <= holding <= of:
        raise ValueError(f"holding={holding} of={of}: give at least 1 exercise and 0 to {of}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha} is no probability: choose one above 0 and below 1")
    if holding == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _at_least(holding, of, middle) > alpha:
            high = middle
        else:
            low = middle
    return low


def median_interval(values: Sequence[float], alpha: float) -> tuple[float, float] | None:
    """Return two of the values between which the median lies, wrongly with at most ``alpha``.

    They are the r-th from below and the r-th from above, r as large as it may be: the number of
    values below the median is binomial with 1/2, so that the median lies outside with a probability
    of at most 2 P(Bin(n, 1/2) < r). None where not even the lowest and the highest are sure.

    Paper: Thompson, 1936, doi:10.1214/aoms/1177732505.
    Args:
        values: of independent exercises.
        alpha: probability of an interval without the median.
    """
    ranked = np.sort(np.asarray(values, np.float64))
    n, below, rank = len(ranked), 0, 0
    while rank < (n + 1) // 2:
        below += comb(n, rank)
        if 2 * below > alpha * 2**n:
            break
        rank += 1
    return None if rank == 0 else (float(ranked[rank - 1]), float(ranked[n - rank]))


@cache
def fewest_exercises(alpha: float, share: float = 0.5) -> int:
    """Return how many exercises it takes until, all holding, at least ``share`` is sure."""
    return next(n for n in range(1, 10_000) if share_at_least(n, n, alpha) >= share)


def _at_least(holding: int, of: int, share: float) -> float:
    """Return P(Bin(of, share) >= holding)."""
    if share <= 0 or share >= 1:
        return float(share >= 1)
    yes, no = log(share), log1p(-share)
    logs = [log(comb(of, k)) + k * yes + (of - k) * no for k in range(holding, of + 1)]
    return float(np.exp(np.asarray(logs)).sum())
