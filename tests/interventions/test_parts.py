"""A layer as methods see it, and predictions under any alignment."""

import numpy as np
import pytest
import torch

from tokenarium.backend.interventions.predictions import compare
from tokenarium.backend.observe import AttentionCall, Recorder, recording
from tokenarium.backend.observe.layer import Layer


class _Calls(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[AttentionCall] = []

    def attend(self, call: AttentionCall) -> torch.Tensor:
        self.calls.append(call)
        return super().attend(call)


def calls(loaded) -> list[AttentionCall]:
    watch = _Calls()
    with torch.inference_mode(), recording(watch):
        ids = torch.arange(40)[None] * 31 % 200 + 10
        loaded.model.base_model(input_ids=ids, use_cache=False)
    return watch.calls


@pytest.mark.parametrize("heads", [None, (3, 1)])
@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gpt_oss", "gpt2"])
def test_a_layers_own_logits_and_weights_come_out_of_its_parts(twins, family, heads):
    """What methods put weights together from gives the model's own where nothing is changed."""
    loaded, _ = twins(family)
    for call in calls(loaded):
        layer = Layer.of(call, heads)
        [every] = Layer.of(call, None).rows(40)
        whole = every.weights
        for rows in layer.rows(16):
            seen = rows.weights.shape[-1]
            assert seen == rows.stop
            chosen = whole if heads is None else whole[list(heads)]
            torch.testing.assert_close(rows.weights, chosen[:, rows.start : rows.stop, :seen])
            visible = layer.visible(rows).expand(rows.logits.shape)
            assert torch.equal(visible, rows.logits.isfinite())
            logits = layer.logits(layer.q[:, rows.start : rows.stop], layer.k[:, :seen])
            torch.testing.assert_close(logits[visible], rows.logits[visible], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(layer.softmax(rows.logits), rows.weights)
        received = sum(rows.weights.sum(1)[:, 0] for rows in layer.rows(7))
        torch.testing.assert_close(layer.received()[:, 0], received)


def test_a_mask_hides_keys_of_a_layer(twins):
    loaded, _ = twins("llama")
    [call, *_] = calls(loaded)
    mask = torch.zeros(1, 1, 40, 40)
    mask[..., 5:9] = torch.finfo(torch.float32).min
    masked = AttentionCall(0, call.q, call.k, call.v, call.scaling, 0, mask=mask)
    [rows] = Layer.of(masked, (2,)).rows(40)
    hidden = ~Layer.of(masked, (2,)).visible(rows)[0]
    assert hidden[20, 5:9].all()
    assert not hidden[20, :5].any()
    assert (rows.weights[0, 9:, 5:9] == 0).all()


def test_queries_from_each_key():
    keys = torch.zeros(1, 1, 6, 2)
    call = AttentionCall(0, keys[:, :, :4], keys, keys, 1.0, 2)
    assert Layer.of(call, None).queries_from().tolist() == [4, 4, 4, 3, 2, 1]


def test_predictions_under_any_alignment(twins):
    """More than a chunk of rows of each run stands alone, and the order is anybody's."""
    loaded, _ = twins("gemma2")
    draw = np.random.default_rng(0)
    plain, changed = draw.integers(5, 200, 420).tolist(), draw.integers(5, 200, 310).tolist()
    aligned = np.full(310, -1)
    aligned[draw.permutation(310)[:150]] = draw.permutation(420)[:150]
    streams = [torch.randn(len(ids), 32) for ids in (plain, changed)]
    steps: list[tuple[int, int]] = []
    with torch.inference_mode():
        found = compare(
            loaded,
            (streams[0], plain),
            (streams[1], changed),
            aligned.tolist(),
            lambda *step: steps.append(step),
        )
        log_p, log_q = (
            loaded.unembed(loaded.final_norm(x)).double().log_softmax(-1).numpy() for x in streams
        )
    kl = (np.exp(log_p[aligned]) * (log_p[aligned] - log_q)).sum(-1)
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(found.kl, np.where(aligned < 0, np.nan, kl), **close)
    for ids, law, surprisal, entropy in (
        (plain, log_p, found.surprisal, found.entropy),
        (changed, log_q, found.changed_surprisal, found.changed_entropy),
    ):
        np.testing.assert_allclose(entropy, -(np.exp(law) * law).sum(-1), **close)
        wanted = [np.nan, *(-law[t, ids[t + 1]] for t in range(len(ids) - 1))]
        np.testing.assert_allclose(surprisal, wanted, **close)
    assert steps == [(128, 310), (256, 310), (310, 310)]
