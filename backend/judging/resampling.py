"""Intervals and nulls by drawing again: moving blocks, and tokens in another order."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

TIMES = 200
"""Draws; the ends of a 95 % range are then known to about one draw in twenty."""
LEAST_TOKENS = 16
"""Below that a text says too little about itself for an interval."""

BLOCKS = 16
STUDENT = 2.131
"""97.5 % quantile of Student's t with ``BLOCKS`` - 1 degrees of freedom."""

Places = NDArray[np.int_]


def block_interval(
    length: int, score: Callable[[Places], float], seed: int, block: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a score of n tokens that depend on those before them.

    Blocks of consecutive tokens are drawn with replacement until there are n again, and the score
    is taken of these.

    Paper: Kunsch, 1989, Annals of Statistics 17(3). Differs: no.
    Args:
        length: n.
        score: of tokens at [n] places.
        seed: of what is drawn.
        block: tokens of a block; 0 takes the cube root of n, rounded up.
    Returns: lowest and highest; both NaN below 16 tokens.
    """
    if length < LEAST_TOKENS:
        return float("nan"), float("nan")
    size = min(block or int(np.ceil(length ** (1 / 3))), length)
    draw = np.random.default_rng([seed, 1])
    starts = draw.integers(0, length - size + 1, (TIMES, -(-length // size)))
    places = (starts[..., None] + np.arange(size)).reshape(TIMES, -1)[:, :length]
    found = np.array([score(row) for row in places])
    found = found[np.isfinite(found)]
    if not len(found):
        return float("nan"), float("nan")
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def jackknife_interval(
    values: NDArray[np.float64], score: Callable[[NDArray[np.float64]], float]
) -> tuple[float, float]:
    """Return the 95 % interval of a score of n values in their order, by leaving out blocks.

    Paper: Kunsch, 1989, Annals of Statistics 17(3). Differs: blocks do not overlap.
    Args:
        values: [n].
        score: of values.
    Returns: lowest and highest; both NaN below ``BLOCKS`` blocks of 3 values, or without a score.
    """
    if len(values) < 3 * BLOCKS:
        return float("nan"), float("nan")
    cuts = np.array_split(np.arange(len(values)), BLOCKS)
    left = np.array([score(np.delete(values, cut)) for cut in cuts])
    spread = left - left.mean()
    half = STUDENT * float(np.sqrt((BLOCKS - 1) / BLOCKS * (spread**2).sum()))
    middle = score(values)
    return middle - half, middle + half


def other_orders(length: int, score: Callable[[Places], float], seed: int) -> NDArray[np.float64]:
    """Return the scores of the same n tokens in ``TIMES`` orders drawn at random."""
    draw = np.random.default_rng([seed, 2])
    return np.array([score(draw.permutation(length)) for _ in range(TIMES)])
