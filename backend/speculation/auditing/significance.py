"""Probabilities of test statistics: how surprising a sample is, and what it would have shown."""

import math
from collections.abc import Callable

import torch

SIGNIFICANCE = 1e-3
"""A p-value below this fails a check."""
POWER = 0.95
"""Chance to find a difference of the size that a check says it finds."""


def chi_square_tail(statistic: float, freedom: float) -> float:
    """Return the probability of a chi-square variable above ``statistic``."""
    return float(torch.special.gammaincc(_double(freedom / 2), _double(statistic / 2)))


def chi_square_power(shift: float, freedom: int, significance: float = SIGNIFICANCE) -> float:
    """Return the chance that a chi-square test rejects.

    Args:
        shift: noncentrality, the samples times the sum of (difference squared / expectation).
        freedom: degrees of freedom.
        significance: largest p-value that rejects.
    """
    limit = _bisect(lambda x: chi_square_tail(x, freedom) < significance, 10.0 * freedom + 100)
    mean = shift / 2
    terms = torch.arange(int(mean + 12 * math.sqrt(mean) + 50), dtype=torch.float64)
    weights = torch.exp(terms * math.log(mean or 1e-300) - mean - torch.lgamma(terms + 1))
    tails = torch.special.gammaincc(freedom / 2 + terms, _double(limit / 2))
    return float((weights * tails).sum().item())


def least_found(samples: int, freedom: int) -> float:
    """Return the total variation that a chi-square test finds with a power of 0.95.

    Of all distributions at that distance the hardest to find is the one whose differences are in
    proportion to the expectations: its noncentrality is 4 x samples x distance squared.
    """
    shift = _bisect(lambda x: chi_square_power(x, freedom) > POWER, 10.0 * freedom + 1000)
    return math.sqrt(shift / samples) / 2


def kolmogorov_tail(distance: float, samples: int) -> float:
    """Return the p-value of a Kolmogorov-Smirnov distance, by Stephens' correction (1970)."""
    root = math.sqrt(samples)
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.2:
        return 1.0  # to within 1e-12; the series converges slowly there
    terms = [math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101)]
    series = sum(terms[::2]) - sum(terms[1::2])
    return min(1.0, 2 * series)


def _bisect(above: Callable[[float], bool], high: float) -> float:
    """Return where ``above`` turns true, between 0 and ``high``."""
    low = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if above(middle) else (middle, high)
    return high


def _double(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)
