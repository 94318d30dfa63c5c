"""What the scores of a probe are for a head that spreads its attention evenly."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def copies_before(first: int, period: int, length: int) -> NDArray[np.int_]:
    """Return [T] how many earlier copies of each token there are; 0 for what is not repeated.

    Args:
        first: position of the first random token.
        period: tokens per copy.
        length: T.
    """
    return np.maximum(0, (np.arange(length) - first) // period)


def even_attention(length: int, window: int | None) -> NDArray[np.float64]:
    """Return [T] the weight that each query gives each key it sees; ``window`` None sees all."""
    seen = np.arange(1, length + 1)
    return 1 / (seen if window is None else np.minimum(seen, window))


def mean_at(
    distances: Iterable[NDArray[np.int_]], asked: NDArray[np.bool_], window: int | None
) -> float:
    """Return the mean over the queries ``asked`` [T] of their even weights on some keys.

    Args:
        distances: for each key of a query, [T] how far back it stands; negative for none.
        asked: the queries that count.
        window: most keys a query sees, itself included.
    """
    length = len(asked)
    weight, position = even_attention(length, window), np.arange(length)
    total = np.zeros(length)
    for distance in distances:
        there = (distance >= 0) & (distance <= position)
        total += weight * (there if window is None else there & (distance < window))
    return float(total[asked].mean())
