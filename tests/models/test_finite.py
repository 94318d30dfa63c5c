"""Weights that are no numbers are refused by name; rows of minus infinity are read; and overflow
on one text is said in words.
"""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.observed import observed
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.observe.finite_logits import NEVER
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace

NAN, INF = float("nan"), float("inf")


def _load(folder, dtype=torch.float32):
    return load(ModelSource("local/m", folder, None, "m"), dtype, "cpu", 512)


def _spoiled(folder, tensor, place, value):
    file = folder / "model.safetensors"
    weights = load_file(file)
    weights[tensor][place] = value
    save_file(weights, file, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("tensor", "place", "value", "words"),
    [
        ("lm_head.weight", (7, 3), NAN, "holds NaN in 1 of 8,704 numbers"),
        # No token of the trial reads this row.
        ("model.embed_tokens.weight", (271, 0), NAN, "holds NaN in 1 of 8,704 numbers"),
        ("model.layers.1.mlp.up_proj.weight", 2, INF, "is infinite in 32 of 1,536 numbers"),
        ("model.layers.2.mlp.up_proj.weight", (0, 0), -INF, "is infinite in 1 of 1,536 numbers"),
        ("model.norm.weight", 5, NAN, "holds NaN in 1 of 32 numbers"),
        ("model.norm.weight", 5, -INF, "is minus infinity in places"),
    ],
)
def test_a_weight_that_is_no_number_is_refused_by_its_name(
    tmp_path, save, tensor, place, value, words
):
    _spoiled(save(tmp_path, "llama"), tensor, place, value)
    with pytest.raises(ModelRefused, match=rf"its weight {tensor} {words}.* download it again"):
        _load(tmp_path)


def test_a_weight_that_float16_cannot_hold_is_refused_there_alone(tmp_path, save):
    _spoiled(save(tmp_path, "llama"), "model.layers.0.mlp.up_proj.weight", (0, 0), 7e4)
    with pytest.raises(ModelRefused, match=r"1 of 1,536 numbers that float16 .* dtype=bfloat16"):
        _load(tmp_path, torch.float16)
    assert _load(tmp_path).verdict.supported


def test_numbers_that_overflow_in_a_trial_are_refused_with_the_layer(tmp_path, save):
    folder = _spoiled(save(tmp_path, "llama"), "model.layers.1.mlp.down_proj.weight", ..., 6e4)
    with pytest.raises(ModelRefused, match="overflow float16 in layer 1 of 3: choose dtype=float3"):
        _load(folder, torch.float16)


def _padded(save, folder, rows=(270, 271)):
    save(folder, "phi", intermediate_size=48)
    return _spoiled(folder, "lm_head.bias", list(rows), -INF)


def _traced(loaded, text="hello world", **choices):
    request = TraceRequest(text=text, model="local/m", logit_lens=True, **choices)
    return trace(request, loaded, 128, lambda _: None, CancelToken())


def test_padded_rows_of_a_vocabulary_have_no_probability_and_break_nothing(tmp_path, save):
    loaded = _load(_padded(save, tmp_path))
    result = _traced(loaded)
    assert "2 rows pad the vocabulary" in result.notes[-1]
    oracle = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    ids = torch.tensor(result.token_ids[None].astype(np.int64))
    with torch.inference_mode():
        logits = oracle(input_ids=ids).logits[0].double()
    assert bool(logits[:, 270:].isneginf().all())
    log_probs = logits.log_softmax(-1)
    entropy = -(log_probs[:, :270].exp() * log_probs[:, :270]).sum(-1)
    expected = -log_probs[:-1].gather(1, ids[0, 1:, None])[:, 0]
    np.testing.assert_allclose(result.surprisal_nats[1:], expected, atol=1e-5)
    np.testing.assert_allclose(result.entropy_nats, entropy, atol=1e-5)
    for name in ("lens_entropy_nats", "lens_kl_nats", "varentropy_nats2", "top_probs"):
        assert np.isfinite(getattr(result, name)).all(), name


def test_a_model_of_ones_own_keeps_its_padded_rows(tmp_path, save):
    _padded(save, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = torch.arange(9)[None]
    with observed(model) as loaded, torch.inference_mode():
        assert bool((loaded.model(input_ids=ids).logits[..., 270:] == NEVER).all())
    assert not model.lm_head._forward_hooks
    assert bool(model(input_ids=ids).logits[..., 270:].isneginf().all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_numbers_that_overflow_on_one_text_are_refused_in_words(tmp_path, save, dtype):
    loaded = _load(save(tmp_path, "llama"), dtype)
    rare = loaded.tokenizer("é", add_special_tokens=False)["input_ids"][0]
    with torch.no_grad():
        loaded.model.model.embed_tokens.weight[rare] = INF
    assert np.isfinite(_traced(loaded, "hello").entropy_nats).all()
    with pytest.raises(ValueError, match=f"overflow {str(dtype)[6:]} on this text.* choose"):
        _traced(loaded, "hello é")
