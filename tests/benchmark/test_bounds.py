"""Bounds against closed forms, tables, and samples of known distributions."""

import numpy as np
import pytest

from tokenarium.backend.benchmark.bounds import (
    fewest_exercises,
    median_interval,
    share_at_least,
)


@pytest.mark.parametrize(
    ("holding", "of", "expected"),
    [
        (20, 20, 0.05 ** (1 / 20)),
        (1, 1, 0.05),
        (9, 10, 0.6058),  # printed tables of the one-sided 95 % bound
        (18, 20, 0.7174),
        (1, 20, 1 - 0.95 ** (1 / 20)),
        (0, 20, 0.0),
    ],
)
def test_share_is_that_of_clopper_and_pearson(holding: int, of: int, expected: float) -> None:
    assert share_at_least(holding, of, 0.05) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8, 0.95])
def test_share_is_seldom_too_high(share: float) -> None:
    """Over all numbers of exercises that may hold, each with its binomial probability."""
    from math import comb

    n = 20
    wrong = sum(
        comb(n, k) * share**k * (1 - share) ** (n - k)
        for k in range(n + 1)
        if share_at_least(k, n, 0.05) > share
    )
    assert wrong <= 0.05


def test_median_lies_between_the_sixth_and_the_fifteenth_of_twenty() -> None:
    values = [float(v) for v in np.random.default_rng(0).permutation(np.arange(1, 21))]
    assert median_interval(values, 0.05) == (6, 15)
    assert median_interval(values[:6], 0.05) == (min(values[:6]), max(values[:6]))
    assert median_interval(values[:5], 0.05) is None


@pytest.mark.parametrize("odd", [7, 8, 20])
def test_interval_has_the_median_of_any_distribution(odd: int) -> None:
    draws = np.random.default_rng(1).exponential(size=(4000, odd)) ** 3
    median = np.log(2) ** 3
    ends = [median_interval(list(row), 0.05) for row in draws]
    outside = [not low <= median <= high for low, high in ends]  # type: ignore[misc]
    assert np.mean(outside) <= 0.05


@pytest.mark.parametrize(("alpha", "fewest"), [(0.05, 5), (0.05 / 3, 6), (0.05 / 5, 7)])
def test_fewest_exercises_make_a_half_sure(alpha: float, fewest: int) -> None:
    assert fewest_exercises(alpha) == fewest
    assert (
        share_at_least(fewest, fewest, alpha) >= 0.5 > share_at_least(fewest - 1, fewest - 1, alpha)
    )


@pytest.mark.parametrize(
    "values", [(1, 0, 0.05), (3, 2, 0.05), (-1, 2, 0.05), (1, 2, 0), (1, 2, 1)]
)
def test_what_is_out_of_range_is_refused(values: tuple[int, int, float]) -> None:
    with pytest.raises(ValueError, match="="):
        share_at_least(*values)
