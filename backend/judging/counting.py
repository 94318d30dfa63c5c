"""Counts of tokens: how sure a share is, and the exact number that chance would give."""

import numpy as np

from tokenarium.backend.judging.judgement import Null, Numbers

Z95 = 1.959964


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of independent trials; 0 of 16 means up to 19 %.

    Paper: Wilson, 1927, JASA 22. Differs: no.
    """
    share, square = hits / count, Z95**2 / count
    middle = (share + square / 2) / (1 + square)
    half = Z95 / (1 + square) * np.sqrt(share * (1 - share) / count + square / (4 * count))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def sum_distribution(chances: Numbers) -> Numbers:
    """Return [n + 1] the probabilities of 0 .. n hits in n independent trials, exactly.

    Args:
        chances: [n] of a hit in each.
    """
    found = np.ones(1)
    for chance in np.clip(chances, 0, 1):
        longer = np.zeros(len(found) + 1)
        longer[:-1] = found * (1 - chance)
        longer[1:] += found * chance
        found = longer
    return found


def sum_null(chances: Numbers, hits: int) -> Null:
    """Return the null of a share of hits whose chances [n] are known."""
    count = len(chances)
    distribution = sum_distribution(chances)
    below = np.cumsum(distribution)
    low, high = (int(np.searchsorted(below, edge)) for edge in (0.025, 0.975))
    at_least = float(distribution[hits:].sum())
    return Null(float(np.mean(chances)), low / count, min(high, count) / count, min(1.0, at_least))
