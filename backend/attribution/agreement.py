"""How far attribution methods agree about the same units."""

import numpy as np
from numpy.typing import NDArray


def rank_correlation(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Spearman's rank correlation [M, M] of M methods' scores [M, U].

    Units with the same score share the mean of their ranks; a method that scores all units alike
    has no ranks, and NaN stands for it (Spearman, 1904).
    """
    ranks = np.stack([_ranks(row) for row in np.asarray(scores, np.float64)])
    ranks -= ranks.mean(1, keepdims=True)
    size = np.sqrt((ranks**2).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = ranks @ ranks.T / np.outer(size, size)
    return found


def _ranks(row: NDArray[np.float64]) -> NDArray[np.float64]:
    _, place, count = np.unique(row, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    found: NDArray[np.float64] = (ends - (count - 1) / 2)[place]
    return found
