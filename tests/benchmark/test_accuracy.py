"""Wilson's interval against hand-computed values and the equation it solves."""

import pytest

from tokenarium.backend.benchmark.accuracy import NORMAL_95, interval, verdict


@pytest.mark.parametrize(
    ("correct", "trials", "low", "high"),
    # 0 of 10: high = z^2 / (n + z^2); 5 of 10: 1/2 -+ z / (2 sqrt(n + z^2)).
    [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (5, 10, 0.23659, 0.76341)],
)
def test_interval_by_hand(correct, trials, low, high) -> None:
    assert interval(correct, trials) == pytest.approx((low, high), abs=1e-5)


@pytest.mark.parametrize(("correct", "trials"), [(1, 7), (3, 20), (19, 20), (50, 123)])
def test_each_end_is_as_far_from_the_share_as_its_own_spread_allows(correct, trials) -> None:
    for end in interval(correct, trials):
        spread = NORMAL_95 * (end * (1 - end) / trials) ** 0.5
        assert abs(correct / trials - end) == pytest.approx(spread, rel=1e-9)


@pytest.mark.parametrize(("correct", "trials"), [(1, 0), (0, 0), (3, 2), (-1, 2)])
def test_what_was_never_tried_has_no_interval(correct, trials) -> None:
    with pytest.raises(ValueError, match=f"correct={correct} of trials={trials}"):
        interval(correct, trials)


def test_a_model_that_guesses_cannot_do_it() -> None:
    assert verdict("answers", 0, 20, 1e-5).startswith("cannot do it even with the full cache: 0 of")
    assert verdict("answers", 6, 20, 0.25).startswith("cannot")
    assert verdict("answers", 0, 40, 0.25).startswith("cannot")
    assert verdict("answers", 15, 20, 0.25).startswith("can do it with the full cache: 15 of 20")
