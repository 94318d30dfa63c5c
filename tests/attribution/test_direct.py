"""Direct logit attribution against the weights of transformers' own class."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.attribution.conftest import OTHER, TARGET, game_of, random_ids
from tests.trace.conftest import Twins
from tokenarium.backend.attribution.direct import split
from tokenarium.backend.attribution.methods.logit_attribution import LogitAttribution


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2", "gemma2", "gpt_oss"])
@pytest.mark.parametrize("against", [OTHER, None])
def test_parts_sum_to_the_logit_difference(twins: Twins, family: str, against: Any) -> None:
    loaded, oracle = twins(family)
    ids = random_ids(15)
    game = game_of(loaded, ids, against=against)
    with torch.no_grad():
        found = split(game)
        logits = oracle(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].double()
    entries = len(loaded.tokenizer)
    other = logits[:entries].mean() if against is None else logits[against]
    total = np.nansum(found.by_head) + found.mlp.sum() + sum(found.rest.values())
    if not found.notes:  # the cap of Gemma 2 comes after
        assert total == pytest.approx(float(logits[TARGET] - other), abs=2e-4)
    assert abs(found.rest["rounding"]) < 1e-3
    assert found.by_token.sum() == pytest.approx(np.nansum(found.by_head), abs=1e-6)


def test_heads_and_mlps_are_what_hooks_find(llama: Any) -> None:
    loaded, oracle = llama
    ids = random_ids(11)
    inputs: dict[int, torch.Tensor] = {}
    mlps: dict[int, torch.Tensor] = {}
    handles = []
    for number, layer in enumerate(oracle.model.layers):
        handles.append(
            layer.self_attn.o_proj.register_forward_pre_hook(
                lambda _, args, number=number: inputs.__setitem__(number, args[0][0, -1])
            )
        )
        handles.append(
            layer.mlp.register_forward_hook(
                lambda _, __, out, number=number: mlps.__setitem__(number, out[0, -1])
            )
        )
    with torch.no_grad():
        out = oracle(input_ids=torch.tensor([ids]), output_hidden_states=True, use_cache=False)
        for handle in handles:
            handle.remove()
        found = split(game_of(loaded, ids, against=OTHER))
        rows = oracle.lm_head.weight
        last: list[torch.Tensor] = []
        handle = oracle.model.norm.register_forward_pre_hook(
            lambda _, args: last.append(args[0][0, -1])
        )
        oracle(input_ids=torch.tensor([ids]))
        handle.remove()
        rms = (last[0].pow(2).mean() + oracle.config.rms_norm_eps).sqrt()
        along = (rows[TARGET] - rows[OTHER]) * oracle.model.norm.weight / rms
        heads = oracle.config.num_attention_heads
        for number, layer in enumerate(oracle.model.layers):
            assert found.mlp[number] == pytest.approx(float(mlps[number] @ along), abs=1e-5)
            size = len(inputs[number]) // heads
            for head in range(heads):
                only = torch.zeros_like(inputs[number])
                cut = slice(head * size, (head + 1) * size)
                only[cut] = inputs[number][cut]
                wrote = layer.self_attn.o_proj.weight @ only
                assert found.by_head[number, head] == pytest.approx(float(wrote @ along), abs=1e-5)
    assert len(out.hidden_states) == len(oracle.model.layers) + 1


def test_the_sum_is_noted_and_stored(llama: Any) -> None:
    loaded, _ = llama
    game = game_of(loaded, random_ids(9), against=OTHER)
    with torch.no_grad():
        found = LogitAttribution().attribute(game)
    assert found.parts is not None
    total = found.parts.sum() + sum(found.rest.values())
    assert total == pytest.approx(game.whole, abs=1e-4)
    assert "rounding" in found.notes[0]


def test_a_tokens_score_is_what_heads_wrote_from_it(llama: Any) -> None:
    game = game_of(llama[0], random_ids(9), against=OTHER)
    with torch.no_grad():
        expected = split(game).by_token
        found = LogitAttribution().attribute(game).scores
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.abs(expected).max() > 0
