"""Blocks left out against hooks apart, and the search against every model there is."""

import itertools
from math import comb
from typing import Any

import numpy as np
import pytest
import torch

from tests.patching.conftest import module_of
from tests.reduction.conftest import blocks, both_texts, nats_of, run
from tokenarium.backend.reduction.methods.evopress import (
    BEST,
    FOUND,
    SINGLE,
    UPPER,
    Remembered,
    Search,
    every_model,
)


def without(oracle: Any, ids: list[int], attentions: Any, mlps: Any) -> np.ndarray:
    """Return [T - 1] surprisal with attentions and MLPs that add nothing."""
    handles = []
    for site, layers in (("attention", attentions), ("mlp", mlps)):
        for layer in layers:

            def hook(_: Any, __: Any, out: Any) -> Any:
                if isinstance(out, torch.Tensor):
                    return out * 0
                return out[0] * 0, *out[1:]

            handles.append(module_of(oracle, (site, layer))[0].register_forward_hook(hook))
    found = nats_of(oracle, ids)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_every_model_is_what_hooks_apart_find(twins: Any, family: str) -> None:
    loaded, oracle = twins(family)
    result = run(loaded, "evopress", dropped=0.34, generations=12)
    calibration, held_out = both_texts(loaded)
    pairs = [*itertools.product(range(len(blocks(oracle))), repeat=2)]
    known = {pair: without(oracle, calibration, *[[n] for n in pair]).mean() for pair in pairs}
    nats = {pair: without(oracle, held_out, *[[n] for n in pair]) for pair in pairs}
    assert result.enumerated == 9
    single = [
        min(range(3), key=lambda layer, site=site: without(
            oracle, calibration, *([layer] if site == n else [] for n in range(2))
        ).mean())
        for site in range(2)
    ]  # fmt: skip
    expected = {
        FOUND: min(pairs, key=known.__getitem__),  # of nine models 12 generations miss none
        BEST: min(pairs, key=lambda pair: nats[pair].mean()),
        SINGLE: (single[0], single[1]),
        UPPER: (1, 1),
    }
    assert any(attention != mlp for attention, mlp in expected.values())
    at = {result.series[result.point_series[p]]: p for p in [result.chosen, *result.beside]}
    for name, (attention, mlp) in expected.items():
        np.testing.assert_allclose(result.token_nats[at[name], 1:], nats[attention, mlp], atol=5e-4)
        kept = np.ones((3, 2))
        kept[attention, 0] = kept[mlp, 1] = 0
        np.testing.assert_array_equal(result.computed[at[name]], kept)
        assert result.cost[at[name]] == pytest.approx(2 / 3)  # layers of one size
    assert "; 0 of all read the calibration text better" in result.notes[0]


def test_the_search_finds_the_best_of_all_where_its_fitness_is_known() -> None:
    weights = np.random.default_rng(1).normal(size=(8, 2))

    def fitness(models: np.ndarray) -> np.ndarray:
        gone = np.stack([models & 1, models >> 1], -1)
        together = (gone[:, 1:, 0] * gone[:, :-1, 1]).sum(1)  # neighbours make each other worse
        return (gone * weights).sum((1, 2)) + 0.7 * together

    models = every_model(8, 2)
    assert len(models) == comb(8, 2) ** 2 == len({*map(tuple, models.tolist())})
    read = Remembered(fitness)
    found = Search(8, 2, np.random.default_rng(0), 8).run(40, read, read)
    assert fitness(found[None])[0] == fitness(models).min()
    assert len(read.known) < len(models) / 2, "it read as many as brute force"
    assert (found & 1).sum() == 2 == (found >> 1).sum()
    single = fitness(models)[0]
    assert Remembered(fitness)(np.stack([models[0], models[0]])).tolist() == [single, single]
