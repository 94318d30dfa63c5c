"""Shapley values against every order of a few units, and their axioms."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch

from tests.attribution.conftest import OTHER, game_of, random_ids
from tests.attribution.test_check import Additive
from tokenarium.backend.attribution.methods.textgen_shap import TextGenShap, exact


class _Pairs(Additive):
    """Units 0 and 1 are worth 4 together and nothing alone; unit 2 is worth nothing."""

    def __init__(self, units: int) -> None:
        super().__init__([0.0, 0.0, 0.0, *np.linspace(-1, 1, units - 3)])
        self.units, self.seed = (None,) * units, 0  # type: ignore[assignment]

    def values(self, kept: Any, change: Any = "delete", draw: int = 0) -> Any:
        return kept @ self.worth + 4.0 * (kept[:, 0] & kept[:, 1])


def test_few_units_are_exact_as_every_order_says(llama: Any) -> None:
    loaded, _ = llama
    game = game_of(loaded, random_ids(10), widths=[2, 1, 3, 1, 3], against=OTHER)
    with torch.no_grad():
        found = TextGenShap().attribute(game).scores
        expected = np.zeros(5)
        orders = list(permutations(range(5)))
        for order in orders:
            kept = np.zeros(5, bool)
            before = game.values(kept[None])[0]
            for unit in order:
                kept[unit] = True
                after = game.values(kept[None])[0]
                expected[unit] += (after - before) / len(orders)
                before = after
        np.testing.assert_allclose(found, expected, atol=1e-9)
        nothing = game.values(np.zeros((1, 5), bool))[0]
    assert found.sum() == pytest.approx(game.whole - nothing, abs=1e-5)


def test_credit_is_shared_and_a_unit_without_effect_gets_none() -> None:
    game = _Pairs(10)
    found = TextGenShap().attribute(game)
    assert found.low is None
    np.testing.assert_allclose(found.scores[:3], [2, 2, 0], atol=1e-12)
    np.testing.assert_allclose(found.scores[3:], game.worth[3:], atol=1e-12)


def test_sampled_values_sum_up_and_lie_by_the_exact_ones() -> None:
    game = _Pairs(12)
    found = TextGenShap(pairs=16).attribute(game)
    sets = (np.arange(2**12)[:, None] >> np.arange(12)) & 1
    expected = exact(sets.astype(bool), game.values(sets.astype(bool)))
    assert found.scores.sum() == pytest.approx(expected.sum(), abs=1e-9)
    assert found.low is not None
    assert found.high is not None
    error = (found.high - found.low) / 2 / 2.131
    assert (np.abs(found.scores - expected) <= 3 * error + 1e-9).all()
    # An order and its reverse together are exact for pairs: one of both adds the other's worth.
    np.testing.assert_allclose(found.scores, expected, atol=1e-9)


def test_passes_are_no_more_than_declared(llama: Any) -> None:
    loaded, _ = llama
    for units in (6, 14):
        game = game_of(loaded, random_ids(units))
        with torch.no_grad():
            TextGenShap(pairs=2).attribute(game)
        assert game.reader.passes - 1 <= TextGenShap(pairs=2).passes(units, units)
