"""A token is compared with the tokens around it, so that its place in the text does not count."""

import numpy as np
import pytest

from tokenarium.backend.analysis.neighbours import REACH, over_neighbours


@pytest.mark.parametrize("length", [1, 2, 5, 64, 65, 66, 200])
@pytest.mark.parametrize("reach", [1, 3, REACH])
def test_every_token_is_divided_by_the_median_around_it(length: int, reach: int) -> None:
    values = np.random.default_rng(0).uniform(1, 2, length).astype(np.float32)
    for token, found in enumerate(over_neighbours(values, reach)):
        after = min(reach, length - 1 - token)
        before = reach if after == reach else after
        around = values[max(0, token - before) : token + after + 1]
        assert found == pytest.approx(values[token] / np.median(around), rel=1e-6)


def test_a_rise_towards_the_end_is_no_property_of_a_token() -> None:
    # Heads that look at the last four tokens: the mean over few later queries is high.
    rising = 1 / np.arange(300, 0, -1) + 0.001
    rising[150] *= 8
    found = over_neighbours(rising)
    assert found.argmax() == 150
    assert np.delete(found, 150).max() < 1.5


def test_the_first_token_is_compared_with_those_after_it() -> None:
    values = np.ones(100)
    values[0] = 40
    assert over_neighbours(values)[0] == 40


def test_unknown_numbers_stay_unknown() -> None:
    assert np.isnan(over_neighbours(np.full(100, np.nan))).all()


def test_a_reach_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="reach=0"):
        over_neighbours(np.ones(3), 0)
