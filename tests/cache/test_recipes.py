"""Recipes: one policy chooses, forms follow; the same from a request, apply and estimate."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import tokenarium
from tests.cache.policies.conftest import Pair
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.estimate import estimate
from tokenarium.backend.cache.packed_entries import PackedEntries
from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.cache.storage_form import plan_of
from tokenarium.backend.cache.token_roles import Protected, first_whole
from tokenarium.backend.cost.sketch import sketch
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import BUNDLED_FOLDER, ModelSource
from tokenarium.backend.runs.events import CancelToken
from tokenarium.ui.figures.eviction import held_cells

TEXT = "the old mill stood by the river and nobody had lived in it for years, only the owls " * 2
EVICT, FOUR = PolicySpec("snapkv"), PolicySpec("kv_quant", bits=4, group=4, newest=6)
THIN = PolicySpec("think", newest=6)
RECIPES = [[EVICT, FOUR], [EVICT, THIN], [EVICT, THIN, FOUR], [PolicySpec("adakv"), FOUR],
           [PolicySpec("h2o"), FOUR], [PolicySpec("recent"), FOUR], [PolicySpec("sirllm",
           positions="original"), FOUR], [PolicySpec("token_select"), FOUR],
    [PolicySpec("pitome", newest=4), FOUR]]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    source = ModelSource("bundled/target", BUNDLED_FOLDER / "target", None, "bundled")
    return load(source, "float32", "cpu", 2048)


def request(*policies, **more) -> CacheRequest:
    given = {"model": "bundled/target", "text": TEXT, "budget": 24, "max_new_tokens": 14}
    return CacheRequest(**given | {"policies": list(policies), "noise": False} | more)


def result(model, asked: CacheRequest):
    return follow_policies(asked, model, 2048, lambda _: None, CancelToken())


def test_a_recipe_is_a_list_and_stays_one_in_json():
    asked = request("full", [EVICT, FOUR], "snapkv")
    assert [spec.slugs for spec in asked.policies] == [
        ("full",),
        ("snapkv", "kv_quant"),
        ("snapkv",),
    ]
    stored = json.loads(asked.model_dump_json())
    assert "then" not in stored["policies"][0]
    assert CacheRequest.model_validate(stored) == asked
    assert asked.methods == {"policy": ("full", "snapkv", "kv_quant")}
    assert request("snapkv").key() != request([EVICT, FOUR]).key()


def test_a_request_without_recipes_has_the_key_it_had():
    assert request("snapkv").model_dump(mode="json")["policies"] == [
        {"slug": "snapkv", "parameters": PolicySpec("snapkv").parameters}
    ]


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (["snapkv", "h2o"], "h2o chooses entries of its own and cannot follow snapkv"),
        (["snapkv", "kv_quant", "think"], "give reshape before quantise, each once"),
        (["kv_quant", "kv_quant"], "give reshape before quantise, each once"),
        (["streaming_llm", "kv_quant"], "set its positions to 'original'"),
    ],
)
def test_what_does_not_go_together_is_refused(recipe, words):
    with pytest.raises(ValueError, match=words):
        request(recipe)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: "+".join(s.slug for s in recipe))
def test_a_recipe_keeps_what_its_policy_keeps(model, recipe):
    """After the prompt; later its choice may see what the form made of keys and values."""
    asked = request(recipe[0], recipe, max_new_tokens=3)
    alone, found = result(model, asked).runs
    for layer in range(len(model.layers)):
        for head in range(2):
            assert found.kept(0, layer, head).tolist() == alone.kept(0, layer, head).tolist()
    assert found.policy == "+".join(spec.slug for spec in recipe)
    assert found.result.titles[1].count(", then ") == len(recipe) - 1


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: "+".join(s.slug for s in recipe))
def test_applied_to_a_plain_model_it_is_the_page_s_run(model, recipe):
    found = result(model, request(recipe, oracle=False))
    plain = AutoModelForCausalLM.from_pretrained(BUNDLED_FOLDER / "target", dtype="float32").eval()
    ids = torch.tensor([found.prompt_ids.tolist()])
    with tokenarium.apply(recipe, plain, budget=24) as cache:
        out = plain.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=14, do_sample=False
        )
    [run] = found.runs
    assert out[0, ids.shape[1] :].tolist() == run.token_ids.tolist()
    assert cache.cache_bytes == run.cache_bytes[-1]
    assert cache.kept(2, 1).tolist() == run.kept(run.steps - 1, 2, 1).tolist()


@pytest.mark.parametrize(
    "recipe", [*RECIPES[:3], [PolicySpec("full"), FOUR], [FOUR], [THIN]], ids=str
)
def test_bytes_are_known_before_a_run(model, recipe):
    asked = request(recipe, oracle=False, max_new_tokens=20)
    found = result(model, asked)
    read = sketch("bundled/target", BUNDLED_FOLDER / "target")
    [cost] = estimate(asked, read, 2048, torch.device("cpu")).policies
    [run] = found.runs
    assert cost.exact
    assert (cost.prompt_bytes, cost.end_bytes) == (run.cache_bytes[0], run.cache_bytes[-1])


def test_scales_of_groups_without_entries_are_forgotten(twins):
    pair = Pair(*twins("llama"))
    policy = PolicySpec("recent").policy.followed_by([FOUR.method])
    sequence = CachedSequence(pair.loaded, policy, 20)
    sequence.read(pair.prompt(50))
    for token in range(30):
        sequence.read([token + 5])
    for layer in sequence.layers:
        entries = layer.entries
        assert isinstance(entries, PackedEntries)
        assert entries.counts == [20, 20]
        assert len(entries.scales) <= 2 * (20 // 4 + 1)


@pytest.mark.parametrize("recipe", [RECIPES[0], RECIPES[4], RECIPES[2]], ids=str)
def test_what_is_stored_whole_is_known_from_the_result(model, recipe):
    """By what was dropped when, without the cache itself."""
    asked = request(recipe, oracle=False, max_new_tokens=10)
    found = result(model, asked)
    [run] = found.runs
    policy = asked.policies[0].policy
    sequence = CachedSequence(model, policy, 24)
    sequence.read(found.prompt_ids.tolist())
    for token in run.token_ids[:-1].tolist():
        sequence.read([token])
    for layer in (0, 3):
        entries = sequence.layers[layer].entries
        assert isinstance(entries, PackedEntries)
        for head in range(entries.groups):
            edge = first_whole(run, plan_of(policy, 1), layer, head)
            places = entries.head("positions", head).tolist()
            assert places[entries.packed[head]] == edge[-1]
            assert len(edge) == run.steps


def test_a_result_knows_what_became_a_part_of_what(model):
    asked = request(PolicySpec("pitome", newest=4), "snapkv", oracle=False, max_new_tokens=3)
    found = result(model, asked)
    run, other = found.runs
    prompt = len(found.prompt_ids)
    for layer, head in ((0, 0), (3, 1)):
        held = run.kept(0, layer, head).tolist()
        members = run.merged(0, layer, head)
        assert sorted([*held, *members]) == list(range(prompt))
        assert set(members.values()) <= set(held)
        assert all(into < position for position, into in members.items())
    assert other.merged(0, 0, 0) == {}
    assert any("counts as lost" in note for note in run.notes)
    names = held_cells(run, Protected(1, 4, "score"), 0, 0)[2]
    position, into = next(iter(run.merged(0, 0, 0).items()))
    assert names[0, position] == f"a part of token {into}"
    assert f", with the tokens {position}" in names[0, into]


def test_in_layers_with_a_window_entries_stay_as_they_are(twins):
    loaded, _ = twins("gemma3_text")
    sequence = CachedSequence(loaded, FOUR.policy, 20)
    sequence.read(list(range(5, 60)))
    packed = [isinstance(layer.entries, PackedEntries) for layer in sequence.layers]
    assert packed == [layer.window is None for layer in sequence.layers]
    assert set(packed) == {True, False}
    assert sequence.read([7]).isfinite().all()


def test_half_precision_too():
    source = ModelSource("bundled/target", BUNDLED_FOLDER / "target", None, "bundled")
    half = load(source, "bfloat16", "cpu", 2048)
    asked = request([PolicySpec("full"), THIN, FOUR], "full", max_new_tokens=4)
    found, full = result(half, asked).runs
    assert np.isfinite(found.kl_nats).all()
    assert found.cache_bytes[-1] < full.cache_bytes[-1]
