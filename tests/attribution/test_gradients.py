"""Gradients against autograd of transformers' own class, and what they sum to."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.attribution.conftest import TARGET, game_of, random_ids
from tests.trace.conftest import Twins
from tokenarium.backend.attribution.game import Game
from tokenarium.backend.attribution.gradients import gradient
from tokenarium.backend.attribution.methods.gradient_input import GradientInput
from tokenarium.backend.attribution.methods.integrated_gradients import IntegratedGradients


def by_autograd(oracle: Any, embedded: torch.Tensor) -> torch.Tensor:
    at = embedded.clone().requires_grad_(True)
    logits = oracle(inputs_embeds=at[None], use_cache=False).logits[0, -1]
    torch.log_softmax(logits.double(), -1)[TARGET].backward()
    assert at.grad is not None
    return at.grad


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2", "gemma2", "gpt_oss"])
def test_gradients_equal_autograd_of_transformers(twins: Twins, family: str) -> None:
    loaded, oracle = twins(family)
    ids = random_ids(19)
    game = game_of(loaded, ids)
    embedded = game.embedded()
    with torch.inference_mode():  # whoever calls may be in any mode
        value, found = gradient(game, embedded[None])
    expected = by_autograd(oracle, oracle.get_input_embeddings()(torch.tensor(ids)).detach())
    assert float(value) == pytest.approx(game.whole, abs=2e-5)
    scale = expected.abs().max()
    assert ((found[0] - expected).abs().max() / scale) < 2e-4


def test_gradient_times_input_adds_up_over_a_unit(llama: Any) -> None:
    loaded, oracle = llama
    ids = random_ids(9)
    game = game_of(loaded, ids, widths=[2, 3, 4])
    embedded = oracle.get_input_embeddings()(torch.tensor(ids)).detach()
    products = (by_autograd(oracle, embedded) * embedded).sum(-1).numpy()
    expected = [products[:2].sum(), products[2:5].sum(), products[5:].sum()]
    np.testing.assert_allclose(GradientInput().attribute(game).scores, expected, rtol=1e-3)


@pytest.mark.parametrize("baseline", ["mean", "zero"])
def test_integrated_gradients_sum_to_the_difference(twins: Twins, baseline: Any) -> None:
    loaded, oracle = twins("gpt2")
    game = game_of(loaded, random_ids(9))
    found = IntegratedGradients(steps=128, baseline=baseline).attribute(game)
    table = oracle.get_input_embeddings().weight.detach()
    start = table.mean(0) if baseline == "mean" else torch.zeros(table.shape[1])
    with torch.no_grad():
        logits = oracle(inputs_embeds=start.expand(1, 9, -1), use_cache=False).logits[0, -1]
    begun = float(torch.log_softmax(logits.double(), -1)[TARGET])
    assert found.scores.sum() == pytest.approx(game.whole - begun, abs=0.02)
    assert "sum to" in found.notes[0]
    few = IntegratedGradients(steps=4, baseline=baseline).attribute(game)
    assert abs(few.scores.sum() - game.whole + begun) > abs(found.scores.sum() - game.whole + begun)


def test_a_sum_that_misses_the_difference_is_not_to_be_relied_on(
    llama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, _ = llama
    game = game_of(loaded, random_ids(9))
    kept = IntegratedGradients(steps=64).attribute(game)
    assert "rely" not in kept.notes[0]
    monkeypatch.setattr(Game, "whole", game.whole + 3)
    missed = IntegratedGradients(steps=64).attribute(game)
    assert missed.notes[0].endswith("do not rely on the scores")
