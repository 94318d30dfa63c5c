"""The Cache page: what a visitor asks, what is drawn, and what is refused in words."""

import base64
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from backend import CacheResult, Lab, Settings
from tests.models.conftest import save_model
from tests.ui.test_sentence import words
from ui.figures.eviction import held_map
from ui.pages.cache import Asked, CachePage

VISITOR: Any = SimpleNamespace(cookies={}, session_hash="s", query_params={})
PROMPT = "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG AGAIN"
PLACE = (1, 0, 512, "streaming_llm")
STEPS = 6


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "llama", "llama")
    settings = Settings(
        database="duckdb:///:memory:", models_dir=folder, device="cpu", hosted=False
    )
    with Lab(settings) as made:
        yield made


def asked(**changes: object) -> Asked:
    values: dict[str, object] = {
        "model": "local/llama",
        "prompt": PROMPT,
        "policies": ["full", "streaming_llm"],
        "parameters": "streaming_llm.sink = 2",
        "budget": 12,
        "unit": "tokens",
        "new_tokens": STEPS,
        "oracle": True,
    }
    return Asked(**(values | changes))


@pytest.fixture(scope="module")
def shown(lab: Lab) -> dict[str, Any]:
    """The last thing the page is told of a run of two policies."""
    return list(CachePage(lab).run(asked(), PLACE, VISITOR))[-1]


def stored(lab: Lab, shown: dict[str, Any]) -> CacheResult:
    result = lab.open(shown["cache_run"]).result
    assert isinstance(result, CacheResult)
    return result


def test_a_run_fills_every_part(lab: Lab, shown: dict[str, Any]) -> None:
    assert shown["cache_status"] == ""
    assert shown["lanes"]["steps"] == STEPS
    assert [lane["label"] for lane in shown["lanes"]["lanes"]] == ["nothing", "evict"]
    for figure in ("cache_map", "cache_bytes", "cache_time", "cache_cost", "cache_lost"):
        assert json.loads(shown[figure])["data"]


def test_the_lanes_hold_what_the_run_dropped(lab: Lab, shown: dict[str, Any]) -> None:
    result = stored(lab, shown)
    full, streaming = (
        np.frombuffer(base64.b64decode(lane["gone"]), "<i2") for lane in shown["lanes"]["lanes"]
    )
    assert (full == -1).all()
    np.testing.assert_array_equal(streaming, result.evicted_at[1, 1, 0, : len(streaming)])
    held = np.flatnonzero(streaming == -1)
    assert {0, 1} <= set(held.tolist())
    assert len(held) <= 12 + 1


def test_the_map_shows_what_is_held_after_every_step(lab: Lab, shown: dict[str, Any]) -> None:
    run = stored(lab, shown).runs[1]
    cells = np.asarray(held_map(run, 1, 0).data[0].z)
    for step in range(run.steps):
        assert np.flatnonzero(cells[step] == 1).tolist() == run.kept(step, 1, 0).tolist()


def test_the_table_says_what_each_policy_saves_and_costs(shown: dict[str, Any]) -> None:
    told = words(shown["cache_table"])
    assert "Full cache nothing" in told
    assert "StreamingLLM evict" in told
    assert "(100%)" in told
    assert "Budget 12 entries per head" in told


def test_another_head_is_shown_without_the_model(lab: Lab, shown: dict[str, Any]) -> None:
    page = CachePage(lab)
    found = page.move(shown["cache_run"], (0, 1, 3, "full"), VISITOR)
    assert "layer 0, KV head 1" in json.loads(found["cache_map"])["layout"]["meta"]["label"]
    assert page.move(None, PLACE, VISITOR) == {}
    assert "nowhere" in page.move("nowhere", PLACE, VISITOR)["cache_status"]


def test_a_stored_run_comes_back_with_its_prompt(lab: Lab, shown: dict[str, Any]) -> None:
    page = CachePage(lab)
    assert shown["cache_run"] in {run for _, run in page.stored(VISITOR)}
    found = page.open(shown["cache_run"], PLACE, VISITOR)
    assert found["cache_prompt"] == PROMPT
    assert found["lanes"] == shown["lanes"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"policies": []}, "choose 1 to 4"),
        ({"policies": ["full"] * 5}, "choose 1 to 4"),
        ({"policies": "full"}, "choose 1 to 4"),
        ({"policies": ["no such"], "parameters": ""}, "no such"),
        ({"parameters": "sink"}, "cannot be read"),
        ({"parameters": "h2o.recent_share = 0.5"}, "not among the chosen"),
        ({"parameters": "streaming_llm.sink = many"}, "sink"),
        ({"parameters": "streaming_llm.colour = 3"}, "colour"),
        ({"budget": 2}, "budget"),
        ({"budget": None}, "budget"),
        ({"budget": "<b>"}, "budget"),
        ({"prompt": ""}, "text"),
        ({"model": "local/none"}, "local/none"),
    ],
)
def test_what_a_visitor_can_mend_is_one_line(
    lab: Lab, changes: dict[str, object], said: str
) -> None:
    last = list(CachePage(lab).run(asked(**changes), PLACE, VISITOR))[-1]
    assert set(last) == {"cache_status"}
    assert 'role="alert"' in last["cache_status"]
    assert said in words(last["cache_status"])
    assert "<b>" not in last["cache_status"]


@pytest.mark.parametrize(
    "place", [(None, None, None, None), ("x", [], {}, 3), (99, -5, float("nan"), "none")]
)
def test_any_place_a_browser_names_is_moved_inside(
    lab: Lab, shown: dict[str, Any], place: tuple[object, ...]
) -> None:
    found = CachePage(lab).move(shown["cache_run"], place, VISITOR)
    assert json.loads(found["cache_map"])["data"]
