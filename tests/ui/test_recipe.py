"""A recipe on the Cache page: one lane more, its bytes before Run, its edge on the map."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.labs import shipped_store
from tests.models.conftest import save_model
from tests.ui.browser_stub import Visit
from tokenarium.backend import CacheRequest, CacheResult, Lab, PolicySpec, Settings
from tokenarium.ui.components.recipe import filled, specs_of
from tokenarium.ui.pages.cache import Cache

ASKED: dict[str, Any] = {
    "model": "local/llama",
    "text": "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG AGAIN AND AGAIN",
    "policies": ["full"],
    "parameters": {"kv_quant": {"bits": 2, "group": 4, "newest": 3}, "think": {"newest": 3}},
    "recipe_first": "snapkv",
    "recipe_then": ["kv_quant", "think"],
    "budget": 20,
    "budget_unit": "tokens",
    "max_new_tokens": 6,
    "oracle": True,
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "llama", "llama")
    settings = Settings(database=shipped_store(), models_dir=folder, device="cpu", hosted=False)
    with Lab(settings) as made:
        yield made


def test_what_is_clicked_first_does_not_matter_and_no_form_is_no_recipe() -> None:
    specs = specs_of(ASKED)
    assert [spec["slug"] for spec in specs[1]] == ["snapkv", "think", "kv_quant"]
    assert specs[1][2]["parameters"]["bits"] == 2
    assert specs_of(ASKED | {"recipe_then": []}) == specs[:1]
    assert specs_of(ASKED | {"recipe_first": None}) == specs[:1]


def test_controls_are_filled_as_a_request_has_it() -> None:
    recipe = PolicySpec("h2o", then=["think", PolicySpec("kv_quant", bits=8)])
    policies = [PolicySpec("full"), recipe]
    found = filled(CacheRequest(model="m", text="a", policies=policies, prompt_chunk=7))
    assert found["prompt_chunk"] == 7
    assert found["policies"] == ["full"]
    assert (found["recipe_first"], found["recipe_then"]) == ("h2o", ["think", "kv_quant"])
    assert found["parameters"]["kv_quant"]["bits"] == 8


def test_a_recipe_is_one_lane_more_with_an_edge_on_the_map(lab: Lab) -> None:
    page = Visit(lab, Cache)
    page.told |= {"layer": 1, "head": 0, "policy": "snapkv+think+kv_quant"}
    shown = page.run(**ASKED)[-1]
    result = lab.open(str(shown["selection"]["run"])).result
    assert isinstance(result, CacheResult)
    run = result.runs[1]
    assert run.policy == "snapkv+think+kv_quant"
    assert run.label == "evict, reshape, quantise"
    assert "SnapKV, then 60% of key channels, then 2 bits" in str(shown["cache_table"])
    line = next(one for one in json.loads(shown["cache_map"])["data"] if one.get("mode") == "lines")
    assert line["name"] == "left of it: 60% of key channels, 2 bits"
