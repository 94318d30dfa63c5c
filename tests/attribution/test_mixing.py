"""Rollout and value zeroing against transformers' own attention and hooks on its values."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.attribution.conftest import game_of, log_probability, random_ids
from tests.trace.conftest import Twins
from tokenarium.backend.attribution.methods.rollout import Rollout
from tokenarium.backend.attribution.methods.value_zeroing import ValueZeroing


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt_oss"])
def test_rollout_is_the_product_of_eager_attention(twins: Twins, family: str) -> None:
    loaded, oracle = twins(family)
    ids = random_ids(17)
    game = game_of(loaded, ids)
    with torch.no_grad():
        attention = oracle(input_ids=torch.tensor([ids]), output_attentions=True).attentions
        for heads in ("mean", "max"):
            product = torch.eye(17)
            for weights in attention:
                joined = weights[0].mean(0) if heads == "mean" else weights[0].amax(0)
                joined = joined / joined.sum(-1, keepdim=True)
                product = (joined / 2 + torch.eye(17) / 2) @ product
            found = Rollout(heads=heads).attribute(game).scores
            np.testing.assert_allclose(found, product[-1].numpy(), atol=2e-5)
    assert found.sum() == pytest.approx(1)


def test_value_zeroing_is_what_hooks_on_the_values_find(llama: Any) -> None:
    loaded, oracle = llama
    ids = random_ids(9)
    tokens = torch.tensor([ids])
    with torch.no_grad():
        whole = oracle(input_ids=tokens, output_hidden_states=True).hidden_states
        product = torch.eye(9)
        for number, layer in enumerate(oracle.model.layers):
            mixed = torch.zeros(9, 9)
            for token in range(9):

                def zero(_: Any, __: Any, out: torch.Tensor, token: int = token) -> torch.Tensor:
                    return out.index_fill(1, torch.tensor([token]), 0)

                after: list[torch.Tensor] = []
                handles = [
                    layer.self_attn.v_proj.register_forward_hook(zero),
                    layer.register_forward_hook(lambda *given, after=after: after.append(given[2])),
                ]
                states = oracle(input_ids=tokens, output_hidden_states=True).hidden_states
                for handle in handles:
                    handle.remove()
                assert torch.equal(states[number], whole[number])
                changed = after[0] if isinstance(after[0], torch.Tensor) else after[0][0]
                plain: list[Any] = []
                handle = layer.register_forward_hook(
                    lambda *given, plain=plain: plain.append(given[2])
                )
                oracle(input_ids=tokens)
                handle.remove()
                own = plain[0] if isinstance(plain[0], torch.Tensor) else plain[0][0]
                mixed[:, token] = 1 - torch.cosine_similarity(changed[0], own[0], dim=-1)
            product = mixed / mixed.sum(-1, keepdim=True) @ product
        game = game_of(loaded, ids)
        found = ValueZeroing().attribute(game).scores
    np.testing.assert_allclose(found, product[-1].numpy(), atol=1e-4)


def test_zeroed_values_of_a_unit_in_every_layer_lower_the_target(llama: Any) -> None:
    loaded, oracle = llama
    ids, widths = random_ids(9), [2, 3, 4]
    game = game_of(loaded, ids, widths=widths)

    def zero(_: Any, __: Any, out: torch.Tensor) -> torch.Tensor:
        return out.index_fill(1, torch.tensor([2, 3, 4]), 0)

    handles = [layer.self_attn.v_proj.register_forward_hook(zero) for layer in oracle.model.layers]
    without = log_probability(oracle, ids)
    for handle in handles:
        handle.remove()
    with torch.no_grad():
        found = ValueZeroing(of="target").attribute(game).scores
    assert found[1] == pytest.approx(game.whole - without, abs=2e-5)
