"""Intervals of consecutive samples, against values computed by hand."""

import numpy as np
import pytest

from tokenarium.backend import Interval, batch_means


def test_eight_batches_of_two_give_students_interval() -> None:
    # Batch means 1 and 3, four times each: mean 2, s = sqrt(8/7), half = 2.365 s / sqrt(8) = 0.894.
    found = batch_means([0.5, 1.5, 2.5, 3.5] * 4)
    assert found is not None
    assert (found.value, found.n) == (2, 16)
    assert (found.low, found.high) == pytest.approx((2 - 0.89389, 2 + 0.89389), abs=1e-4)


def test_samples_that_hang_together_are_less_sure_than_their_spread_says() -> None:
    slow = np.repeat([1.0, 3.0] * 4, 8)  # 64 samples, of which eight neighbours are the same
    quick = np.tile([1.0, 3.0], 32)
    sure, unsure = batch_means(quick), batch_means(slow)
    assert sure is not None
    assert unsure is not None
    assert sure.high - sure.low == pytest.approx(0)
    assert unsure.high - unsure.low == pytest.approx(2 * 0.89389, abs=1e-4)


def test_a_ratio_is_of_sums_not_a_mean_of_ratios() -> None:
    # 3 ms for 1 token and 5 ms for 3, then twice 2 ms for 1: 2 ms a token in every batch.
    found = batch_means([3.0, 5.0, 2.0, 2.0] * 4, [1, 3, 1, 1] * 4)
    assert found == Interval(2.0, 2.0, 2.0, 16)


def test_fewer_than_two_samples_a_batch_and_unknown_ones_give_nothing() -> None:
    assert batch_means([1.0] * 15) is None
    assert batch_means([1.0] * 15 + [np.nan]) is None
    assert batch_means([1.0] * 16 + [np.nan]) == Interval(1.0, 1.0, 1.0, 16)


@pytest.mark.parametrize(("low", "meets"), [(1.5, True), (2.0, True), (2.1, False)])
def test_intervals_overlap_where_they_share_a_number(low: float, meets: bool) -> None:
    one, other = Interval(1.5, 1.0, 2.0, 16), Interval(2.5, low, 3.0, 16)
    assert one.overlaps(other) is meets
    assert other.overlaps(one) is meets
