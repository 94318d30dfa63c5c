"""The attention function that models call, with and without a recorder."""

import threading

import pytest
import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM

from tests.models.conftest import save_model
from tokenarium.backend.observe import (
    NAME,
    AttentionCall,
    Recorder,
    install,
    plain_attention,
    recording,
)
from tokenarium.backend.observe.attention import _active, _observed_attention
from tokenarium.kernels.attention_stats import naive

VARIANTS = {
    "plain": {},
    "window": {"window": 5},
    "softcap": {"softcap": 1.5},
    "sinks": {"sinks": torch.tensor([-1.0, 0.5, 2.0, 4.0])},
    "all": {"window": 300, "softcap": 1.5, "sinks": torch.tensor([-1.0, 0.5, 2.0, 4.0])},
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 40), (13, 13), (7, 40), (530, 530)])
def test_plain_attention_equals_the_whole_matrix(queries, keys, variant):
    draw = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(1, heads, length, 8, generator=draw)
        for heads, length in ((4, queries), (2, keys), (2, keys))
    )
    call = AttentionCall(0, q, k, v, scaling=0.4, offset=keys - queries, **variant)
    weights = naive.attention_weights(call.inputs())
    expected = (weights @ v[0].repeat_interleave(2, 0)).transpose(0, 1)
    torch.testing.assert_close(plain_attention(call)[0], expected, rtol=1e-5, atol=1e-5)


def test_install_is_safe_to_repeat():
    install()
    install()
    assert NAME in AttentionInterface()
    assert NAME in AttentionMaskInterface()


def test_recorder_is_seen_only_in_its_own_context():
    elsewhere = []
    with recording(Recorder()) as outer:
        watcher = threading.Thread(target=lambda: elsewhere.append(_active.get()))
        watcher.start()
        watcher.join()
        with recording(Recorder()) as inner:
            assert _active.get() is inner
        assert _active.get() is outer
    assert elsewhere == [None]
    assert _active.get() is None


def test_recorder_leaves_when_the_run_fails():
    with pytest.raises(RuntimeError, match="stop"), recording(Recorder()):
        raise RuntimeError("stop")
    assert _active.get() is None


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("dropout", {"dropout": 0.1}),
        ("is_causal", {"is_causal": False}),
        ("position_bias", {"position_bias": torch.zeros(1, 1, 3, 3)}),
        ("indices", {"indices": torch.zeros(1, 3, 2, dtype=torch.int)}),
        ("block_indices", {"block_indices": torch.zeros(1, 3, 2, dtype=torch.int)}),
        ("gate", {"gate": False}),
    ],
)
def test_attention_that_cannot_be_observed_is_refused(argument, values):
    q = torch.randn(1, 2, 3, 4)
    with pytest.raises(ValueError, match=argument):
        _observed_attention(nn.Identity(), q, q, q, None, **values)


def test_attention_takes_what_was_not_given_and_what_has_had_its_effect():
    q = torch.randn(1, 2, 3, 4)
    expected, _ = _observed_attention(nn.Identity(), q, q, q, None)
    found, _ = _observed_attention(
        nn.Identity(), q, q, q, None, indices=None, position_ids=torch.arange(3), use_cache=False
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt_oss", "gemma2", "gpt2"])
def test_decoding_with_a_cache_and_padding_equals_eager(family, tmp_path):
    install()
    folder = save_model(tmp_path, family)
    ids = torch.randint(2, 258, (2, 45), generator=torch.Generator().manual_seed(2))
    padding = torch.ones_like(ids)
    padding[0, :6] = 0
    found = {}
    for name in (NAME, "eager"):
        model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=name).eval()
        with torch.inference_mode():
            first = model(ids[1:, :30], use_cache=True)
            then = model(ids[1:, 30:44], past_key_values=first.past_key_values, use_cache=True)
            last = model(ids[1:, 44:], past_key_values=then.past_key_values)
            padded = model(ids, attention_mask=padding).logits[0, 6:]
        found[name] = torch.cat((first.logits, then.logits, last.logits), 1)[0], padded
    for ours, theirs in zip(found[NAME], found["eager"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
