"""A policy on a plain model is the page's run: the same text, the same tokens kept."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel, StaticCache

import tokenarium
from tests.models.conftest import save_model
from tokenarium.backend.cache.policies.h2o import H2O
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.policy_run import PolicyRun
from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import BUNDLED_FOLDER, ModelSource
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.runs.events import CancelToken

SLUGS = [
    kind.slug for kind in Policy.registry.all() if kind.__module__.startswith("tokenarium.backend.")
]
TEXT = "the old mill stood by the river and nobody had lived in it for years, only the owls"
NEW = 12
IDS = torch.arange(5, 65)[None]
Models = Callable[[str], tuple[PreTrainedModel, LoadedModel]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A function from a family to a model as anyone would load it, and as a run has it."""
    made: dict[str, tuple[PreTrainedModel, LoadedModel]] = {}

    def both(family: str) -> tuple[PreTrainedModel, LoadedModel]:
        if family not in made:
            folder = BUNDLED_FOLDER / "target"
            if family != "bundled":
                folder = save_model(tmp_path_factory.mktemp(family), family)
            plain = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
            source = ModelSource(f"local/{family}", Path(folder), None, family)
            made[family] = plain, load(source, "float32", "cpu", 2048)
        return made[family]

    return both


def run(loaded: LoadedModel, spec: PolicySpec, **more: Any) -> PolicyRun:
    """The page's run."""
    request = CacheRequest(
        **{"model": "m", "text": TEXT, "policies": [spec], "budget": 24, "max_new_tokens": NEW}
        | {"oracle": False, "noise": False}
        | more
    )
    [one] = follow_policies(request, loaded, 2048, lambda _: None, CancelToken()).runs
    return one


def check_same(models: Models, family: str, spec: PolicySpec, **more: Any) -> None:
    model, loaded = models(family)
    budget = {"budget": 24} | more
    try:
        expected = run(loaded, spec, **more)
    except ValueError as refused:
        reason = re.escape(str(refused).partition(" ")[2])  # after the name of the model
        with pytest.raises(ValueError, match=reason), tokenarium.apply(spec, model, **budget):
            model(IDS)
        return
    prompt = torch.tensor([expected.result.prompt_ids.tolist()])
    with tokenarium.apply(spec, model, **budget) as cache:
        found = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=NEW, do_sample=False
        )
    assert found[0, prompt.shape[1] :].tolist() == expected.token_ids.tolist()
    last = expected.steps - 1
    assert cache.tokens_seen == prompt.shape[1] + last
    for layer in range(len(loaded.layers)):
        for head in range(expected.result.evicted_at.shape[2]):
            kept = cache.kept(layer, head).tolist()
            assert kept == expected.kept(last, layer, head).tolist(), (layer, head)
    assert cache.cache_bytes == expected.result.cache_bytes[0, last]


@pytest.mark.parametrize("slug", SLUGS)
def test_every_policy_generates_and_keeps_what_its_run_does(models: Models, slug: str) -> None:
    check_same(models, "bundled", PolicySpec(slug))


@pytest.mark.parametrize(
    ("family", "slug"),
    [
        *(("gemma2", "h2o"), ("gemma2", "prompt_distill")),
        *(("gpt2", "streaming_llm"), ("gpt2", "adakv"), ("gpt2", "prompt_distill")),
        *(("qwen3", "sirllm"), ("qwen3", "adakv")),
        *(("gpt_oss", "adakv"), ("gpt_oss", "h2o"), ("gpt_oss", "prompt_distill")),
        *(("granite", "streaming_llm"), ("granite", "sirllm")),
    ],
)
def test_other_families_do_too_or_are_refused_with_the_same_reason(
    models: Models, family: str, slug: str
) -> None:
    check_same(models, family, PolicySpec(slug))


@pytest.mark.parametrize(
    "more",
    [
        {"budget": 0.5, "budget_unit": "ratio"},
        {"budget": 0.02, "budget_unit": "megabytes"},
        {"seed": 7},
        {"prompt_chunk": 9},
    ],
    ids=str,
)
def test_budgets_and_seeds_mean_what_they_mean_in_a_run(models: Models, more: Any) -> None:
    check_same(models, "gemma2", PolicySpec("random"), **more)


@pytest.mark.parametrize("slug", ["token_select", "snapkv", "infllm", "streaming_llm"])
def test_a_prompt_in_parts_is_that_of_a_run(models: Models, slug: str) -> None:
    check_same(models, "bundled", PolicySpec(slug), budget=10, prompt_chunk=8)


def test_a_policy_that_needs_the_whole_prompt_refuses_parts(models: Models) -> None:
    model, _ = models("bundled")
    with tokenarium.apply("spatten", model, budget=24, prompt_chunk=60):
        model(IDS)
    said = "prompt_chunk=59 reads the prompt's 60 tokens in parts, but SpAtten lets only some"
    applied = tokenarium.apply("spatten", model, budget=24, prompt_chunk=59)
    with pytest.raises(ValueError, match=said), applied:
        model(IDS)
    applied = tokenarium.apply("snapkv", model, budget=24, prompt_chunk=0)
    with pytest.raises(ValueError, match="prompt_chunk=0 reads nothing: give 1 or more"), applied:
        pass


def test_parameters_by_name_in_a_spec_or_in_a_policy_are_the_same(models: Models) -> None:
    model, _ = models("bundled")
    found = []
    for policy, parameters in (
        ("h2o", {"recent_share": 0.2}),
        (PolicySpec("h2o", recent_share=0.2), {}),
        (H2O(recent_share=0.2), {}),
        ("h2o", {}),
    ):
        with tokenarium.apply(policy, model, budget=16, **parameters) as cache:
            model.generate(IDS, max_new_tokens=4, do_sample=False)
        found.append([cache.kept(layer, 0).tolist() for layer in range(2)])
    assert found[0] == found[1] == found[2] != found[3]


def test_with_everything_kept_generate_is_as_without(models: Models) -> None:
    model, _ = models("bundled")
    for options in ({"do_sample": False}, {"do_sample": True, "temperature": 1.3, "top_k": 9}):
        said = []
        for applied in (True, False):
            torch.manual_seed(3)
            if applied:
                with tokenarium.apply("full", model, budget=1):
                    said.append(model.generate(IDS, max_new_tokens=20, **options).tolist())
            else:
                said.append(model.generate(IDS, max_new_tokens=20, **options).tolist())
        assert said[0] == said[1]


def test_sampling_goes_on_from_what_is_kept(models: Models) -> None:
    model, _ = models("bundled")
    said = []
    for _ in range(2):
        torch.manual_seed(3)
        with tokenarium.apply("streaming_llm", model, budget=16) as cache:
            said.append(model.generate(IDS, max_new_tokens=20, do_sample=True).tolist())
        assert cache.kept(1, 0).tolist() == [0, 1, 2, 3, *range(67, 79)]
    assert said[0] == said[1]


@pytest.mark.parametrize("keep", [0, 1, 5, torch.tensor([3, 0])], ids=str)
def test_a_forward_pass_gives_the_logits_that_are_asked_for(models: Models, keep: Any) -> None:
    model, _ = models("bundled")
    with torch.inference_mode():
        expected = model(IDS, logits_to_keep=keep).logits
    with tokenarium.apply("full", model, budget=1):
        out = model(IDS, logits_to_keep=keep)
        again = model(input_ids=IDS, logits_to_keep=keep, return_dict=False)[0]
    torch.testing.assert_close(out.logits, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(again, out.logits)
    assert not out.logits.is_inference()


def test_a_second_turn_goes_on_with_the_cache_of_the_first(models: Models) -> None:
    model, _ = models("bundled")
    more = torch.arange(70, 78)[None]
    options = {"max_new_tokens": 4, "do_sample": False, "return_dict_in_generate": True}
    with tokenarium.apply("streaming_llm", model, budget=16) as cache:
        first = model.generate(IDS, **options)
        text = torch.cat((first.sequences, more), 1)
        second = model.generate(text, past_key_values=first.past_key_values, **options)
    assert cache.tokens_seen == 60 + 4 + 8 + 3
    assert cache.kept(0, 0).tolist() == [0, 1, 2, 3, *range(63, 75)]
    assert second.sequences[:, :72].tolist() == text.tolist()
    refused = pytest.raises(ValueError, match="belongs to an earlier text")
    with tokenarium.apply("streaming_llm", model, budget=16), refused:
        model.generate(text, past_key_values=first.past_key_values, **options)


@pytest.fixture
def as_it_was(models: Models) -> Iterator[PreTrainedModel]:
    """The bundled model, which must be the same afterwards."""
    model, _ = models("bundled")
    before, logits = model.config._attn_implementation, model(IDS).logits
    yield model
    assert model.config._attn_implementation == before
    assert not {"forward", "generate"} & vars(model).keys()
    assert torch.equal(model(IDS).logits, logits)


def test_the_model_is_put_back(as_it_was: PreTrainedModel) -> None:
    with tokenarium.apply("h2o", as_it_was, budget=16):
        assert as_it_was.config._attn_implementation == "tokenarium"
        as_it_was(torch.arange(5, 65)[None])


def test_the_model_is_put_back_after_an_exception(as_it_was: PreTrainedModel) -> None:
    def run_into_it() -> None:
        with tokenarium.apply("h2o", as_it_was, budget=16):
            as_it_was(torch.arange(5, 65)[None])
            raise KeyError("the caller's")

    with pytest.raises(KeyError):
        run_into_it()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"input_ids": IDS.repeat(3, 1)}, "input_ids has 3 texts"),
    ({"attention_mask": torch.ones(1, 60).index_fill(1, torch.tensor([0]), 0)}, "without padding"),
    ({"attention_mask": torch.ones(1, 1, 60, 60)}, "no mask of its own"),
    ({"position_ids": torch.arange(3, 63)[None]}, "position_ids does not go on from 0"),
    ({"use_cache": False}, "use_cache=False"),
    ({"labels": IDS}, "labels is not taken"),
    ({"output_attentions": True}, "output_attentions is not taken"),
    ({"output_hidden_states": True}, "output_hidden_states is not taken"),
    ({"input_ids": None, "inputs_embeds": torch.zeros(1, 4, 8)}, "inputs_embeds has no tokens"),
]


@pytest.mark.parametrize(("given", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_cannot_be_kept_to_is_refused_in_words(
    as_it_was: PreTrainedModel, given: dict[str, Any], reason: str
) -> None:
    with tokenarium.apply("h2o", as_it_was, budget=16), pytest.raises(ValueError, match=reason):
        as_it_was(**{"input_ids": IDS} | given)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"num_beams": 2}, "input_ids has 2 texts"),
        ({"num_return_sequences": 2, "do_sample": True}, "input_ids has 2 texts"),
        ({"use_cache": False}, "use_cache=False"),
        ({"cache_implementation": "static"}, "a static cache"),
        ({"output_attentions": True, "return_dict_in_generate": True}, "output_attentions"),
    ],
    ids=str,
)
def test_ways_to_generate_that_need_other_caches_are_refused(
    as_it_was: PreTrainedModel, options: dict[str, Any], reason: str
) -> None:
    with tokenarium.apply("h2o", as_it_was, budget=16), pytest.raises(ValueError, match=reason):
        as_it_was.generate(IDS, max_new_tokens=4, **options)


def test_caches_filled_elsewhere_are_refused(as_it_was: PreTrainedModel) -> None:
    filled = DynamicCache(config=as_it_was.config)
    as_it_was(IDS, past_key_values=filled)
    static = StaticCache(config=as_it_was.config, max_cache_len=99)
    for cache, reason in ((filled, "filled outside apply"), (static, "a static cache")):
        with tokenarium.apply("h2o", as_it_was, budget=16), pytest.raises(ValueError, match=reason):
            as_it_was(IDS[:, :1], past_key_values=cache)


def test_arguments_of_apply_are_refused_by_name(models: Models) -> None:
    model, _ = models("bundled")
    cases: list[tuple[Any, dict[str, Any], str]] = [
        ("h3o", {}, "policy='h3o' is unknown"),
        ("h2o", {"recent": 3}, "recent"),
        (
            Policy.registry.find("h2o")(),
            {"recent_share": 0.1},
            "recent_share is given beside a policy",
        ),
        ("streaming_llm", {"budget": 3}, "raise budget to at least 5"),
        ("h2o", {"budget": 0}, "budget=0 tokens"),
    ]
    for policy, given, reason in cases:
        refused = pytest.raises(ValueError, match=reason)
        with refused, tokenarium.apply(policy, model, **{"budget": 16} | given):
            model(IDS)
    refused = pytest.raises(ValueError, match="training mode")
    with refused, tokenarium.apply("h2o", model.train(), budget=16):
        pass
    model.eval()


def test_one_block_at_a_time(as_it_was: PreTrainedModel) -> None:
    outer = {
        "forward": tokenarium.apply("h2o", as_it_was, budget=16),
        "generate": tokenarium.apply_drafter("prompt_lookup", as_it_was),
    }
    for name, block in outer.items():
        refused = pytest.raises(ValueError, match=f"replaced its {name}: leave that first")
        with block, refused, tokenarium.apply("recent", as_it_was, budget=16):
            pass


def test_drafts_do_not_go_past_a_policy(as_it_was: PreTrainedModel) -> None:
    refused = pytest.raises(ValueError, match="keeps its cache by a policy")
    block = tokenarium.apply("h2o", as_it_was, budget=16)
    with block, refused, tokenarium.apply_drafter("prompt_lookup", as_it_was):
        pass


def test_texts_past_learned_positions_are_refused(models: Models) -> None:
    model, _ = models("gpt2")
    refused = pytest.raises(ValueError, match="129 tokens are above the 128 learned positions")
    with tokenarium.apply("h2o", model, budget=16), refused:
        model.generate(torch.full((1, 126), 7), max_new_tokens=9, do_sample=False)


def test_what_nothing_was_read_of_says_so(models: Models) -> None:
    model, _ = models("bundled")
    with tokenarium.apply("h2o", model, budget=16) as cache:
        assert (cache.tokens_seen, cache.cache_bytes) == (0, 0)
        with pytest.raises(ValueError, match="no text was read"):
            cache.kept(0, 0)
        model(IDS)
    for layer, head in ((99, 0), (0, 99), (-1, 0)):
        with pytest.raises(ValueError, match="does not exist: choose 0 to"):
            cache.kept(layer, head)


def test_models_that_cannot_be_observed_are_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path, "diffllama")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    refused = pytest.raises(ModelRefused, match="cannot be observed")
    with refused, tokenarium.apply("h2o", model, budget=16):
        pass
