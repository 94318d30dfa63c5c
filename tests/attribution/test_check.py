"""The check tells a map that names what matters from one that does not."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.attribution.conftest import game_of, random_ids
from tokenarium.backend.attribution.check import DRAWS, check, usual_k
from tokenarium.backend.attribution.game import Game


class Additive(Game):
    """Each unit is worth a number, and sets their sum."""

    def __init__(self, worth: list[float]) -> None:
        self.worth = np.array(worth)
        self.random = np.random.default_rng(0)

    @property
    def whole(self) -> float:
        return float(self.worth.sum())

    def values(self, kept: Any, change: Any = "delete", draw: int = 0) -> Any:
        return kept @ self.worth


WORTH = [0.0] * 20 + [3.0, 2.0, 1.0, 0.5]


def test_the_right_map_beats_chance_and_a_turned_one_does_not() -> None:
    game = Additive(WORTH)
    right = check(game, game.worth, 3)
    assert (right.drop, right.k, right.verdict) == (6.0, 3, "beats chance")
    assert right.p == pytest.approx(1 / 21)
    turned = check(game, -game.worth, 3)
    assert (turned.drop, turned.p, turned.verdict) == (0.0, 1.0, "does not beat chance")


def test_interval_and_mean_are_of_twenty_draws() -> None:
    found = check(Additive(WORTH), np.array(WORTH), 5)
    assert len(found.random) == DRAWS == 20
    half = 2.093 * found.random.std(ddof=1) / 20**0.5
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half))
    assert found.mean == pytest.approx(found.random.mean())


def test_every_set_is_tried_where_there_are_few_and_nothing_is_claimed() -> None:
    found = check(Additive([5.0, 0.0, 1.0]), np.array([5.0, 0.0, 1.0]), 1)
    assert sorted(found.random) == [0.0, 1.0, 5.0]
    assert found.p == pytest.approx(1 / 3)
    assert found.verdict == "too few units"
    assert np.isnan(found.low)
    twenty = [0.0] * 19 + [1.0]
    assert check(Additive(twenty), np.array(twenty), 1).verdict == "beats chance"


def test_drops_are_those_of_deleted_texts(llama: Any) -> None:
    loaded, _ = llama
    game = game_of(loaded, random_ids(12))
    scores = np.arange(12.0)
    with torch.no_grad():
        found = check(game, scores, None)
        kept = np.ones((1, 12), bool)
        kept[0, -usual_k(12) :] = False
        assert found.drop == pytest.approx(game.whole - game.values(kept)[0])
    assert found.k == 2
