"""Thresholded activations against hooks on transformers' own class."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.reduction.conftest import blocks, both_texts, nats_of, run


def activation(block: Any) -> Any:
    return block.mlp.act if hasattr(block.mlp, "act") else block.mlp.act_fn


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_thresholds_and_losses_are_what_hooks_apart_find(twins: Any, family: str) -> None:
    loaded, oracle = twins(family)
    result = run(loaded, "cats", sparsity=0.35)
    calibration, held_out = both_texts(loaded)
    seen: list[torch.Tensor] = []
    handles = [
        activation(block).register_forward_hook(lambda _, __, out: seen.append(out.detach()))
        for block in blocks(oracle)
    ]
    nats_of(oracle, calibration)
    for handle in handles:
        handle.remove()
    whole = nats_of(oracle, held_out)
    np.testing.assert_allclose(result.dense_token_nats[1:], whole, atol=2e-4)
    everything = torch.cat([each.abs().flatten() for each in seen])
    for point in (result.chosen, int(result.beside[0])):
        own = point == result.chosen
        lines = [torch.quantile(each.abs().flatten() if own else everything, 0.35) for each in seen]
        np.testing.assert_allclose(result.threshold[point], lines, rtol=1e-4)
        zeros: list[float] = []

        def cut(_: Any, __: Any, out: Any, lines: Any = lines, zeros: Any = zeros) -> Any:
            left = torch.where(out.abs() < lines[len(zeros)], torch.zeros(()), out)
            zeros.append(float((left == 0).float().mean()))
            return left

        handles = [activation(block).register_forward_hook(cut) for block in blocks(oracle)]
        nats = nats_of(oracle, held_out)
        for handle in handles:
            handle.remove()
        np.testing.assert_allclose(result.token_nats[point, 1:], nats, atol=5e-4)
        assert np.abs(nats - whole).max() > 1e-3, "nothing was cut"
        np.testing.assert_allclose(result.computed[point, :, 1], 1 - np.array(zeros), atol=2e-3)
        assert result.cost[point] == pytest.approx(1 - np.mean(zeros), abs=2e-3)
        assert result.loss_nats[point] == pytest.approx(nats.mean(), abs=2e-4)


def test_no_threshold_is_the_model_bit_for_bit(twins: Any) -> None:
    loaded, _ = twins("llama")
    result = run(loaded, "cats", sparsity=0.0)
    for name in result.series:
        at = result.of_series(name)[-1]
        assert result.setting[at] == 0
        assert result.cost[at] == 1
        np.testing.assert_array_equal(result.token_nats[at, 1:], result.dense_token_nats[1:])


def test_the_share_on_other_text_is_near_what_was_asked(twins: Any) -> None:
    loaded, _ = twins("llama")
    result = run(loaded, "cats", tokens=200)
    for name in result.series:
        at = result.of_series(name)
        np.testing.assert_allclose(1 - result.cost[at], result.setting[at], atol=0.03)
        assert (np.diff(result.cost[at]) > 0).all()


def test_computing_only_what_is_left_gives_the_same(twins: Any) -> None:
    _, oracle = twins("llama")
    mlp = oracle.model.layers[0].mlp
    given = torch.randn(32, generator=torch.Generator().manual_seed(0))
    gate = mlp.act_fn(mlp.gate_proj(given))
    left = gate.abs() >= torch.quantile(gate.abs(), 0.5)
    masked = mlp.down_proj(gate * left * mlp.up_proj(given))
    few = gate[left] * (mlp.up_proj.weight[left] @ given)
    torch.testing.assert_close(masked, mlp.down_proj.weight[:, left] @ few)
    assert int(left.sum()) == len(gate) / 2


def test_experts_without_an_activation_of_their_own_are_refused(twins: Any) -> None:
    loaded, _ = twins("gpt_oss")
    with pytest.raises(ValueError, match="no activation of their own"):
        run(loaded, "cats")
