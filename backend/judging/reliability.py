"""Whether shares of right answers follow a confidence: bins of equal numbers, and their error."""

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.judging.judgement import Numbers


def equal_bins(sure: Numbers, count: int) -> list[NDArray[np.int_]]:
    """Return the places of each bin, least sure first; equal numbers, ties in their order."""
    return np.array_split(np.argsort(sure, kind="stable"), count)


def calibration_error(sure: Numbers, right: Numbers, count: int) -> float:
    """Return the mean over bins, by their sizes, of |mean confidence - share right|.

    Args:
        sure: [n] confidence, in [0, 1].
        right: [n] 1 where right, else 0.
        count: of bins.
    """
    apart = [abs(sure[own].sum() - right[own].sum()) for own in equal_bins(sure, count)]
    return float(sum(apart) / len(sure)) if len(sure) else float("nan")
