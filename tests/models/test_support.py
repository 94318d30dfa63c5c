"""The load-time check notices what it is there to notice."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, FalconConfig, FalconForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from tests.models.conftest import byte_tokenizer
from tokenarium.backend.models import loading
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.probes.observation import check
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.observe import NAME, Recorder, plain_attention
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace


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
        llama.model.lm_head.weight *= 1e38
    assert "overflow float32 in its logits" in check(llama).reason


def _loaded(folder):
    return load(ModelSource("m", folder, None, "m"), torch.float32, torch.device("cpu"), 512)


@pytest.mark.parametrize("top_k", [100, 8192])
def test_a_model_that_hands_attention_more_than_is_known_is_refused(tmp_path, save, top_k):
    sizes = {
        "num_key_value_heads": 4,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 8,
        "v_head_dim": 8,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 1,
        "topk_group": 1,
        "moe_intermediate_size": 16,
        "index_n_heads": 2,
        "index_head_dim": 16,
    }
    folder = save(tmp_path, "deepseek_v32", index_topk=top_k, **sizes)
    with pytest.raises(ModelRefused, match="handed indices, which is not understood"):
        _loaded(folder)


@pytest.mark.parametrize(
    ("family", "length"),
    [
        ("mistral", {"sliding_window": 4096}),
        ("gemma3_text", {"sliding_window": 1000}),
        ("llama4_text", {"attention_chunk_size": 8192}),
    ],
)
def test_check_reads_past_lengths_that_are_long(tmp_path, save, monkeypatch, family, length):
    more = {"num_local_experts": 2, "num_key_value_heads": 2, "head_dim": 8}
    changes = more if family == "llama4_text" else {}
    loaded = _loaded(save(tmp_path, family, max_position_embeddings=16384, **length, **changes))
    before = [{**vars(module)} for module in loaded.model.modules()]
    ((name, value),) = length.items()
    assert f"also with {name}={value} made 24" in loaded.verdict.reason
    _make_wrong(monkeypatch, window=None, mask=None)
    verdict = check(loaded)
    assert not verdict.supported
    assert f"with {name}={value} made 24 for a trial, observed logits" in verdict.reason
    assert getattr(loaded.model.config, name) == value
    assert before == [{**vars(module)} for module in loaded.model.modules()]


ROPES = {
    "default": {},
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 2.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 32},
    "longrope": {
        "factor": 4.0,
        "original_max_position_embeddings": 32,
        "short_factor": [1.0] * 4,
        "long_factor": [2.0, 3.0, 5.0, 9.0],
    },
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
    "proportional": {"partial_rotary_factor": 0.5},
}


def _with_rope(save, folder, kind, tokens=128):
    rope = {"rope_type": kind, "rope_theta": 1e4, **ROPES[kind]}
    return _loaded(save(folder, "llama", max_position_embeddings=tokens, rope_parameters=rope))


def test_every_rotary_type_is_tried():
    assert set(ROPES) >= {*ROPE_INIT_FUNCTIONS}


@pytest.mark.parametrize("kind", ROPES)
def test_a_text_gives_the_same_after_any_other(tmp_path, save, kind):
    loaded = _with_rope(save, tmp_path, kind)
    texts = [torch.arange(length)[None] % 270 for length in (20, 100, 150, 200)]

    def read(ids):
        with torch.inference_mode():
            return loaded.model(input_ids=ids, use_cache=False).logits

    fresh = [read(ids) for ids in texts]  # each after shorter ones, as in a fresh model
    for longer in texts:
        for ids, expected in zip(texts, fresh, strict=True):
            read(longer)
            assert torch.equal(read(ids), expected)


def test_a_fresh_model_gives_what_transformers_gives(tmp_path, save):
    loaded = _with_rope(save, tmp_path, "dynamic")
    fresh = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    ids = torch.arange(200)[None]
    with torch.inference_mode():
        loaded.model(input_ids=torch.arange(270)[None], use_cache=False)
        found, expected = (
            model(input_ids=ids, use_cache=False).logits for model in (loaded.model, fresh)
        )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tokens", [128, 4096])
def test_check_notices_a_model_that_remembers(tmp_path, save, monkeypatch, tokens):
    monkeypatch.setattr(loading, "keep_fresh", lambda _: [])
    with pytest.raises(ModelRefused, match="it remembers what it read"):
        _with_rope(save, tmp_path, "dynamic", tokens)


def test_an_adapter_beside_the_weights_is_not_passed_over(tmp_path, save):
    (save(tmp_path, "llama") / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelRefused, match="has an adapter"):
        _loaded(tmp_path)


def test_a_model_that_sees_later_tokens_is_refused(tmp_path, save):
    folder = save(tmp_path, "gemma3_text", use_bidirectional_attention=True)
    with pytest.raises(ModelRefused, match=r"change with what follows them.*both sides of a token"):
        load(ModelSource("m", folder, None, "m"), torch.float32, torch.device("cpu"), 512)


@pytest.mark.parametrize("cap", [-2.0, 0.0])
def test_a_cap_that_is_none_is_refused_by_its_name(tmp_path, save, cap):
    folder = save(tmp_path, "gemma2", attn_logit_softcapping=cap)
    with pytest.raises(ModelRefused, match=r"softcap=(-2|0), which must be above 0"):
        load(ModelSource("m", folder, None, "m"), torch.float32, torch.device("cpu"), 512)


def test_falcons_bias_by_distance_counts_once(tmp_path):
    """Eager of transformers 5.23 adds it to the logits and once more with the mask; sdpa does not.

    Press et al., 2022 (arXiv:2108.12409) and the model's own code add it once.
    """
    config = FalconConfig(
        vocab_size=272, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    FalconForCausalLM(config).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    loaded = load(ModelSource("f", tmp_path, None, "f"), torch.float32, torch.device("cpu"), 512)
    request = TraceRequest(model="f", text="hello hello hello world")
    result = trace(request, loaded, 512, lambda _: None, CancelToken())
    with torch.no_grad():
        own, ids = loaded.model.transformer, torch.tensor(result.token_ids.tolist())
        first = own.h[0].self_attention
        fused = first.query_key_value(own.h[0].input_layernorm(own.word_embeddings(ids))).double()
    heads = fused.view(len(ids), 6, 8)  # four query heads, a key and a value
    slopes = torch.tensor([2.0 ** (-2 * (head + 1)) for head in range(4)], dtype=torch.float64)
    places = torch.arange(len(ids)).double()
    logits = torch.einsum("qhd,kd->hqk", heads[:, :4], heads[:, 4]) + slopes[:, None, None] * places
    hidden = torch.ones(len(ids), len(ids), dtype=torch.bool).triu(1)
    weights = (logits / 8**0.5).masked_fill(hidden, -torch.inf).softmax(-1)
    np.testing.assert_allclose(result.sink_score[0], weights[..., 0].mean(-1), atol=1e-6)
