"""Models that compute attention in their own code: seen as transformers computes it, or refused."""

import dataclasses

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

import tokenarium
from tests.families.measuring import measure
from tests.models.conftest import save_model
from tokenarium.backend.cost.work import Sizes
from tokenarium.backend.models.layer_kinds import layer_sizes
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.observed import observed
from tokenarium.backend.observe import Recorder, plain_attention, recording
from tokenarium.backend.observe.attention import UnknownArgument
from tokenarium.backend.observe.eager_attention import observe_layers
from tokenarium.backend.observe.eager_masks import bias_of
from tokenarium.backend.observe.noted import Noted

LEAST = torch.finfo(torch.float32).min


class Attention(nn.Module):
    """A layer with one head, whose logits go through a function before softmax."""

    def __init__(self, between):
        super().__init__()
        self.between = between

    def forward(self, hidden_states):
        q, k, v = hidden_states.chunk(3, -1)
        logits = torch.bmm(q, k.transpose(1, 2))
        weights = nn.functional.softmax(self.between(logits), dim=-1)
        return torch.bmm(nn.functional.dropout(weights, 0.1, self.training), v)


class Calls(Recorder):
    def __init__(self):
        super().__init__()
        self.calls = []

    def attend(self, call):
        self.calls.append(call)
        return plain_attention(call)


def causal(logits):
    return logits + torch.full(logits.shape[-2:], LEAST).triu(1)


def windowed(logits):
    seen = torch.ones(logits.shape[-2:], dtype=torch.bool)
    return torch.where(seen.tril() & ~seen.tril(-4), logits, torch.tensor(LEAST))


BETWEEN = {
    "factor": lambda logits: causal(logits * 0.3),
    "divisor, mask first": lambda logits: causal(logits) / 3.0,
    "masked fill": lambda logits: logits.masked_fill(
        torch.ones(logits.shape[-2:], dtype=torch.bool).triu(1), LEAST
    ),
    "kept by multiplying": lambda logits: (
        logits * torch.ones(logits.shape[-2:]).tril()
        + -1e4 * (1 - torch.ones(logits.shape[-2:]).tril())
    ),
    "bias by key": lambda logits: causal(logits + 0.2 * torch.arange(logits.shape[-1])),
    "bias by distance": lambda logits: causal(
        logits
        + 0.2 * (torch.arange(logits.shape[-1]) - torch.arange(logits.shape[-2])[:, None]).float()
    ),
    "other shape and format": lambda logits: (
        causal(logits.view(1, 1, *logits.shape[-2:]).to(torch.float64)).float().view(logits.shape)
    ),
    "lower bound": lambda logits: torch.max(causal(logits), torch.tensor(LEAST)),
}


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN)
def test_attention_in_own_code_is_seen_and_stays_the_same(between):
    layer = Attention(between).eval()
    hidden = torch.randn(1, 9, 12, generator=torch.Generator().manual_seed(0))
    expected = layer(hidden)
    leave = observe_layers([layer], [None])
    with recording(Calls()) as recorder:
        torch.testing.assert_close(layer(hidden), expected)
    assert recorder.order == [0]
    assert recorder.calls[0].q.shape == (1, 1, 9, 4)
    leave()
    assert layer(hidden).equal(expected)
    assert recorder.order == [0]


def test_a_band_is_no_mask_and_a_window_must_be_the_one_of_the_configuration():
    layer = Attention(windowed).eval()
    hidden = torch.randn(1, 9, 12)
    leave = observe_layers([layer], [4])
    with recording(Calls()) as recorder:
        layer(hidden)
    assert (recorder.calls[0].window, recorder.calls[0].mask) == (4, None)
    leave()
    observe_layers([layer], [5])
    with recording(Calls()), pytest.raises(UnknownArgument, match="latest 4 tokens"):
        layer(hidden)


def test_what_is_not_understood_is_computed_and_not_seen():
    layer = Attention(lambda logits: causal(logits).sin()).eval()
    hidden = torch.randn(1, 9, 12)
    expected = layer(hidden)
    observe_layers([layer], [None])
    with recording(Calls()) as recorder:
        torch.testing.assert_close(layer(hidden), expected)
    assert recorder.order == []


def test_logits_changed_in_place_are_refused():
    layer = Attention(lambda logits: causal(logits).add_(1)).eval()
    observe_layers([layer], [None])
    with recording(Calls()), pytest.raises(UnknownArgument, match="add_"):
        layer(torch.randn(1, 9, 12))


def test_a_token_that_sees_those_after_it_is_refused():
    with pytest.raises(UnknownArgument, match="tokens after it"):
        bias_of([], 1, 3, 3)


def test_logits_set_to_zero_that_count_are_refused():
    below = torch.ones(1, 1, 3, 3, dtype=torch.bool).tril(-1)
    hidden = torch.full((1, 1, 3, 3), LEAST).triu(1)
    with pytest.raises(UnknownArgument, match="to 0 that count"):
        bias_of([hidden], 1, 3, 3, [below])


def test_biases_that_queries_do_not_share_are_a_mask_and_no_bias_by_key():
    draw = torch.Generator().manual_seed(0)
    hidden = torch.full((1, 1, 5, 5), LEAST).triu(1)
    found = bias_of([hidden, torch.randn(1, 2, 5, 5, generator=draw)], 2, 5, 5)
    assert found.by_key is None
    assert found.mask.shape == (1, 2, 5, 5)


def _slow(*families):
    return [pytest.param(family, marks=pytest.mark.slow) for family in families]


@pytest.mark.parametrize(
    "family",
    [
        *("gptj", "gpt_neo", "bloom"),
        *_slow("codegen", "falcon", "mpt", "xglm", "biogpt", "openai-gpt"),
    ],
)
def test_family_with_attention_in_own_code_equals_eager_everywhere(family):
    found = measure(family)
    assert found["verdict"] == "loads", found
    assert max(found["trace"], found["full"]) < 1e-4
    assert found["h2o"] == "ok"
    assert found["prompt_lookup"] == found["early_exit"] == "passed"
    turns = family in ("gptj", "codegen", "falcon")
    assert (found["streaming_llm"] == "ok") == turns


FALCON = {
    "rotary, one key head": {},
    "rotary, two key heads": {"new_decoder_architecture": True, "num_kv_heads": 2},
    "alibi": {"alibi": True, "multi_query": False},
}


@pytest.mark.parametrize("changes", FALCON.values(), ids=FALCON)
def test_falcon_in_each_of_its_forms_equals_sdpa(tmp_path, changes):
    folder = save_model(tmp_path, "falcon", **changes)
    loaded = load(ModelSource("f", folder, None, "f"), "float32", "cpu", 512)
    oracle = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").eval()
    ids = torch.arange(2, 62)[None]
    with torch.inference_mode(), recording(Calls()) as recorder:
        ours = loaded.model(input_ids=ids).logits
    torch.testing.assert_close(ours, oracle(ids).logits, atol=3e-5, rtol=1e-4)
    assert recorder.order == [0, 1, 2]
    assert (recorder.calls[0].key_bias is not None) == bool(changes.get("alibi"))


@pytest.mark.parametrize("family", ["gptj", "bloom"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_family_with_attention_in_own_code_loads_in_half_precision(tmp_path, family, dtype):
    source = ModelSource("m", save_model(tmp_path, family), None, "m")
    assert load(source, dtype, "cpu", 512).verdict.supported


def test_a_bias_by_key_is_not_rounded_to_the_format_of_the_model(tmp_path):
    source = ModelSource("m", save_model(tmp_path, "mpt", max_seq_len=1024), None, "m")
    loaded = load(source, "bfloat16", "cpu", 1024)
    ids = torch.randint(2, 250, (1, 900), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = loaded.model(input_ids=ids).logits
        with recording(Recorder()):
            found = loaded.model(input_ids=ids).logits
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)


def test_what_a_mask_takes_counts_and_shared_heads_are_one(tmp_path):
    configs = {
        family: AutoConfig.from_pretrained(save_model(tmp_path / family, family))
        for family in ("gpt_neo", "llama", "falcon")
    }
    assert Sizes.of(configs["llama"]).pair == 0
    assert Sizes.of(configs["gpt_neo"]).pair >= 9  # float32 of the mask and of the window, a bool
    assert [one.kv_heads for one in layer_sizes(configs["falcon"])] == [1, 1, 1]


@pytest.mark.parametrize("family", ["gpt_neo", "bloom"])
def test_apply_generates_what_the_model_does_and_leaves_it_as_it_was(tmp_path, family):
    model = AutoModelForCausalLM.from_pretrained(save_model(tmp_path, family)).eval()
    ids = torch.arange(2, 42)[None]
    expected = model.generate(ids, max_new_tokens=8, do_sample=False)
    with tokenarium.apply("full", model, budget=1) as cache:
        found = model.generate(ids, max_new_tokens=8, do_sample=False)
        assert cache.tokens_seen == 47
    assert found.equal(expected)
    layers = model.transformer.h
    assert all("forward" not in vars(layer) for layer in layers)
    assert model.generate(ids, max_new_tokens=8, do_sample=False).equal(expected)


def test_layers_that_return_a_list_go_on_with_some_of_the_tokens(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(save_model(tmp_path, "openai-gpt")).eval()
    with tokenarium.apply("prompt_distill", model, budget=32) as cache:
        logits = model(torch.arange(2, 82)[None]).logits[:, -1]
        assert logits.isfinite().all()
        assert len(cache.kept(2, 0)) < 80


@pytest.mark.parametrize("policy", ["tidal_decode", "token_select"])
def test_policies_that_leave_out_a_bias_are_refused(tmp_path, policy):
    model = AutoModelForCausalLM.from_pretrained(save_model(tmp_path, "bloom")).eval()
    with (
        pytest.raises(ValueError, match="adds a bias by position"),
        tokenarium.apply(policy, model, budget=32),
    ):
        model(torch.arange(2, 82)[None])


def test_bias_of_a_key_goes_by_its_place_after_others_were_dropped(tmp_path):
    """A cache that dropped tokens reads as the whole text does with those tokens hidden."""
    model = AutoModelForCausalLM.from_pretrained(save_model(tmp_path, "bloom")).eval()
    ids = torch.arange(2, 42)[None]
    with tokenarium.apply("h2o", model, budget=16) as cache:
        out = model(ids)
        kept = [[cache.kept(layer, head) for head in range(4)] for layer in range(3)]
        step = model(torch.tensor([[50]]), past_key_values=out.past_key_values)
    assert {len(own) for layer in kept for own in layer} == {16}

    class Hiding(Recorder):
        def attend(self, call):
            hidden = torch.ones(1, 4, 1, 41, dtype=torch.bool)
            for head, own in enumerate(kept[call.layer]):
                hidden[0, head, 0, [*own.tolist(), 40]] = False
            mask = torch.full((1, 4, 41, 41), LEAST).triu(1)
            mask[:, :, -1:] = mask[:, :, -1:].masked_fill(hidden, LEAST)
            mask = mask + call.key_bias[None, :, None]
            return plain_attention(dataclasses.replace(call, mask=mask, key_bias=None))

    with observed(model), torch.inference_mode(), recording(Hiding()):
        expected = model(torch.cat((ids, torch.tensor([[50]])), 1)).logits[:, -1]
    torch.testing.assert_close(step.logits[:, -1], expected, atol=3e-5, rtol=1e-4)


def test_a_forward_pass_that_somebody_replaced_comes_back():
    layer = Attention(causal).eval()
    layer.forward = own = lambda hidden_states: hidden_states
    leave = observe_layers([layer], [None])
    leave()
    assert layer.forward is own


def test_a_loaded_model_is_still_observed_after_a_policy_was_applied_to_it(tmp_path):
    source = ModelSource("m", save_model(tmp_path, "gptj"), None, "m")
    loaded = load(source, "float32", "cpu", 512)
    with tokenarium.apply("full", loaded.model, budget=1):
        loaded.model(torch.arange(2, 12)[None])
    with recording(Calls()) as recorder:
        loaded.model(torch.arange(2, 12)[None])
    assert recorder.order == [0, 1, 2]


def test_noted_logits_are_no_tensor_of_numbers():
    layer = Attention(lambda logits: logits).eval()
    seen = []
    layer.between = lambda logits: seen.append(type(logits)) or causal(logits)
    observe_layers([layer], [None])
    with recording(Calls()):
        layer(torch.randn(1, 5, 12))
    assert seen == [Noted]
