"""The linear programme against the heaviest matching, found by trying all of them."""

from functools import cache

import numpy as np
import pytest

from tokenarium.backend.tokenization.least_slack import Floats, least_slack

CHOICES, RIVALS, PARTS = 3, 4, 3
PLACES = [(choice, rival) for choice in range(CHOICES) for rival in range(RIVALS)]


def heaviest_matching(margins: Floats, shares: Floats) -> float:
    """Return the dual of the slack at fixed shares: every choice and rival used once at most."""
    need = np.maximum(0, -(margins @ shares)).reshape(CHOICES, RIVALS)

    @cache
    def best(choice: int, used: int) -> float:
        if choice == CHOICES:
            return 0.0
        found = best(choice + 1, used)
        for rival in range(RIVALS):
            if not used >> rival & 1:
                found = max(found, need[choice, rival] + best(choice + 1, used | 1 << rival))
        return found

    return best(0, 0)


@pytest.mark.parametrize("seed", range(6))
def test_no_shares_need_less_slack(seed: int) -> None:
    margins = np.random.default_rng(seed).normal(size=(len(PLACES), PARTS))
    choice, rival = np.array(PLACES, np.intp).T
    found = least_slack(margins, choice, rival)
    assert found.shares.min() >= 0
    assert found.shares.sum() == pytest.approx(1)
    assert found.slack == pytest.approx(heaviest_matching(margins, found.shares), abs=1e-5)
    assert found.slack - 1e-5 <= found.bound <= found.slack + 1e-9
    grid = [np.array([i, j, 20 - i - j]) / 20 for i in range(21) for j in range(21 - i)]
    assert min(heaviest_matching(margins, shares) for shares in grid) >= found.slack - 1e-5


def test_a_choice_that_leads_in_one_part_only_gives_all_to_it() -> None:
    """By hand: lead 2 in the first part, behind by 1 in the second; and the other way round by 3.

    At share a of the first the slack is max(0, 1 - 3a) + max(0, 4a - 3): none from 1/3 to 3/4.
    """
    margins = np.array([[2.0, -1.0], [-1.0, 3.0]])
    found = least_slack(margins, np.array([0, 1]), np.array([0, 1]))
    assert found.slack == pytest.approx(0, abs=1e-5)
    assert 1 / 3 - 1e-4 <= found.shares[0] <= 3 / 4 + 1e-4


def test_a_rival_excused_once_is_excused_everywhere() -> None:
    """By hand: two choices behind the same rival by 1 in all parts take 1 of slack, not 2."""
    margins = -np.ones((2, 2))
    assert least_slack(margins, np.array([0, 1]), np.array([0, 0])).slack == pytest.approx(1)
    assert least_slack(margins, np.array([0, 1]), np.array([0, 1])).slack == pytest.approx(2)
