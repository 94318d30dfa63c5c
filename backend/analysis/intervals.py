"""How sure a mean is whose samples come one after another, such as the steps of a run."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BATCHES = 8
STUDENT = 2.365
"""97.5 % quantile of Student's t with ``BATCHES`` - 1 degrees of freedom."""
LEAST_SAMPLES = 2 * BATCHES
"""Below two samples a batch no interval is given."""


@dataclass(frozen=True)
class Interval:
    """A mean, or a ratio of sums, with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Samples it is made of."""

    def overlaps(self, other: "Interval") -> bool:
        """Return whether the two have a number in common."""
        return self.low <= other.high and other.low <= self.high


def batch_means(values: ArrayLike, weights: ArrayLike | None = None) -> Interval | None:
    """Return the mean of consecutive samples with its interval; None where they are too few.

    Steps of a run depend on those before, so that their spread alone says too little. They are cut
    into ``BATCHES`` consecutive batches, whose means depend on each other much less; the interval
    is Student's t over those.

    Paper: Schmeiser, 1982, Operations Research 30(3). Differs: no.
    Args:
        values: [n] samples in their order; those that are not finite are left out.
        weights: [n] what a value is for, such as the tokens of a round; the result is then the sum
            of the values over the sum of the weights. None counts each as 1.
    """
    found = np.asarray(values, np.float64)
    shares = np.ones_like(found) if weights is None else np.asarray(weights, np.float64)
    known = np.isfinite(found) & np.isfinite(shares) & (shares > 0)
    found, shares = found[known], shares[known]
    if len(found) < LEAST_SAMPLES:
        return None
    parts = zip(np.array_split(found, BATCHES), np.array_split(shares, BATCHES), strict=True)
    means: NDArray[np.float64] = np.array([part.sum() / share.sum() for part, share in parts])
    value = float(found.sum() / shares.sum())
    half = STUDENT * float(means.std(ddof=1)) / BATCHES**0.5
    return Interval(value, value - half, value + half, len(found))
