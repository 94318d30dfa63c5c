"""The load-time check notices what it is there to notice."""

import dataclasses

import pytest
import torch
from torch import nn

from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.probes.observation import check
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.observe import NAME, Recorder, plain_attention


def _make_wrong(monkeypatch, **wrong):
    monkeypatch.setattr(
        Recorder, "attend", lambda _, call: plain_attention(dataclasses.replace(call, **wrong))
    )


@pytest.fixture
def llama(saved):
    return load(saved("llama"), torch.float32, torch.device("cpu"), 512)


@pytest.mark.parametrize(
    ("family", "wrong"),
    [
        ("llama", {"scaling": 0.34}),
        ("mistral", {"window": None}),
        ("mistral", {"window": 17}),
        ("gemma2", {"softcap": None}),
        ("gemma3_text", {"window": 15}),
        ("gpt_oss", {"sinks": None}),
    ],
)
def test_check_notices_wrong_attention(saved, monkeypatch, family, wrong):
    loaded = load(saved(family), torch.float32, torch.device("cpu"), 512)
    _make_wrong(monkeypatch, **wrong)
    verdict = check(loaded)
    assert not verdict.supported
    assert verdict.max_difference > 1e-3
    assert "observed logits differ" in verdict.reason


def test_check_compares_capped_logits_with_attention_that_caps(saved, monkeypatch):
    """Up to transformers 5.17 Gemma 2 says that it takes sdpa, which knows no cap."""
    loaded = load(saved("gemma2"), torch.float32, torch.device("cpu"), 512)
    monkeypatch.setattr(type(loaded.model), "_supports_sdpa", True)
    assert "equal to eager" in check(loaded).reason


def test_check_goes_past_a_window_longer_than_a_short_text(tmp_path, save, monkeypatch):
    folder = save(tmp_path, "mistral", sliding_window=100)
    loaded = load(ModelSource("m", folder, None, "m"), torch.float32, torch.device("cpu"), 512)
    assert "109 tokens" in loaded.verdict.reason
    _make_wrong(monkeypatch, window=101)
    assert not check(loaded).supported


def test_load_refuses_a_model_that_fails_the_check(saved, monkeypatch):
    _make_wrong(monkeypatch, scaling=0.34)
    with pytest.raises(ModelRefused, match="local/llama cannot be observed: observed logits"):
        load(saved("llama"), torch.float32, torch.device("cpu"), 512)


def test_check_notices_a_layer_that_is_not_observed(llama, monkeypatch):
    monkeypatch.setattr(Recorder, "observe", lambda self, call: self.attend(call))
    verdict = check(llama)
    assert not verdict.supported
    assert "attention was seen in layers []" in verdict.reason


def test_check_notices_a_model_that_ignores_the_switch(llama, monkeypatch):
    monkeypatch.setattr(type(llama.model), "set_attn_implementation", lambda *_: None)
    assert "cannot be run with sdpa" in check(llama).reason


@pytest.mark.parametrize(
    "change",
    [
        {"final_norm": None},
        {"unembed": lambda hidden: hidden @ torch.ones(hidden.shape[-1], 272)},
    ],
)
def test_check_notices_wrong_parts(llama, change):
    verdict = check(dataclasses.replace(llama, **change))
    assert not verdict.supported
    assert "residual stream" in verdict.reason


def test_check_notices_layers_that_are_no_chain(llama):
    first, second, last = llama.layers
    inner = (first.mlp, second.mlp, last)
    assert "residual stream" in check(dataclasses.replace(llama, layers=inner)).reason


def test_check_turns_a_failing_forward_pass_into_a_reason(llama, monkeypatch):
    class Broken(nn.Module):
        def forward(self, *_, **__):
            raise RuntimeError("no kernel for this")

    monkeypatch.setattr(llama.layers[1], "mlp", Broken())
    verdict = check(llama)
    assert not verdict.supported
    assert "no kernel for this" in verdict.reason


def test_check_leaves_no_hooks_and_the_implementation_as_it_was(llama):
    check(llama)
    assert llama.model.config._attn_implementation == NAME
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in llama.model.modules()
    )


def test_check_refuses_logits_that_overflow(llama):
    with torch.no_grad():
        llama.model.lm_head.weight[0, 0] = float("inf")
    assert "overflow" in check(llama).reason
