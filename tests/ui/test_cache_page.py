"""The Cache page: what a visitor asks, what is drawn, and what is refused in words."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.labs import shipped_store
from tests.models.conftest import save_model
from tests.ui.browser_stub import Visit
from tests.ui.test_sentence import words
from tokenarium.backend import KINDS, CacheResult, Lab, Protected, Settings
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.ui.components.cost_card import size
from tokenarium.ui.figures.eviction import held_by_head, held_map, scores
from tokenarium.ui.pages.cache import Cache
from tokenarium.ui.shell.stored import stored_runs

PROMPT = "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG AGAIN"
STEPS = 6
GROUPING = {"cache_likeness", "cache_search", "cache_clusters"}
"""Drawn where the policy has them."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "llama", "llama")
    save_model(folder / "long", "llama", max_position_embeddings=2048)
    settings = Settings(database=shipped_store(), models_dir=folder, device="cpu", hosted=False)
    with Lab(settings) as made:
        yield made


USUAL: dict[str, Any] = {
    "model": "local/llama",
    "text": PROMPT,
    "policies": ["full", "streaming_llm"],
    "parameters": {"streaming_llm": {"sink": 2}},
    "budget": 12,
    "budget_unit": "tokens",
    "max_new_tokens": STEPS,
    "oracle": True,
}


@pytest.fixture
def page(lab: Lab) -> Visit:
    """A visitor of the page, looking at layer 1."""
    found = Visit(lab, Cache)
    found.told |= {"layer": 1, "head": 0, "policy": "streaming_llm"}
    return found


def ran(page: Visit, **changes: object) -> dict[str, Any]:
    """Return the last thing that the page is told of a run."""
    return page.run(**(USUAL | changes))[-1]


@pytest.fixture(scope="module")
def shown(lab: Lab) -> dict[str, Any]:
    """The last thing the page is told of a run of two policies."""
    found = Visit(lab, Cache)
    found.told |= {"layer": 1, "head": 0, "policy": "streaming_llm"}
    return ran(found)


def run_of(shown: dict[str, Any]) -> str:
    return str(shown["selection"]["run"])


def stored(lab: Lab, shown: dict[str, Any]) -> CacheResult:
    result = lab.open(run_of(shown)).result
    assert isinstance(result, CacheResult)
    return result


def test_a_run_fills_every_part(lab: Lab, shown: dict[str, Any]) -> None:
    assert shown["status"] == ""
    assert shown["lanes"]["steps"] == STEPS
    assert [lane["label"] for lane in shown["lanes"]["lanes"]] == ["nothing", "evict"]
    for figure in ("cache_map", "cache_bytes", "cache_time", "cache_kl", "cache_lost"):
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


def test_the_map_shows_why_each_token_is_held_after_every_step(
    lab: Lab, shown: dict[str, Any]
) -> None:
    run = stored(lab, shown).runs[1]
    heat = held_map(run, Protected(2, 0, "recency"), 1, 0).data[0]
    assert list(heat.colorbar.ticktext) == [kind.title for kind in KINDS]
    cells, titles = np.asarray(heat.z), np.asarray(heat.text)
    for step in range(run.steps):
        held = np.flatnonzero(np.isin(titles[step], ["sink", "recent"]))
        assert held.tolist() == run.kept(step, 1, 0).tolist()
        assert np.flatnonzero(titles[step] == "sink").tolist() == [0, 1]
        named = np.isfinite(cells[step])
        assert [KINDS[int(n)].title for n in cells[step][named]] == titles[step][named].tolist()
        assert set(titles[step][~named].tolist()) <= {"not read yet"}


def test_a_long_text_is_drawn_by_what_most_tokens_are(lab: Lab, page: Visit) -> None:
    last = ran(page, model="local/long", text="ABCDEFG " * 100, budget_unit="ratio", budget=0.5)
    run = stored(lab, last).runs[1]
    heat = held_map(run, Protected(2, 0, "recency"), 1, 0).data[0]
    assert np.asarray(heat.z).shape == (STEPS, 512)
    places = len(run.result.prompt_ids) + STEPS
    gone = (np.asarray(heat.z)[-1] == 0).mean()
    assert gone == pytest.approx(1 - len(run.kept(STEPS - 1, 1, 0)) / places, abs=0.02)


def test_the_map_draws_the_borders_of_blocks(lab: Lab, shown: dict[str, Any]) -> None:
    run = stored(lab, shown).runs[1]
    tokens = len(run.result.prompt_ids) + run.steps - 1
    _, borders = held_map(run, Protected(2, 0, "score", block=4), 1, 0).data
    assert list(borders.x[::3]) == [at - 0.5 for at in range(4, tokens, 4)]
    assert borders.name == "border of a block of 4 tokens"
    many = Protected(2, 0, "score", block=1)
    assert len(held_map(run, many, 1, 0).data) == 1


def test_the_heads_of_a_layer_hold_what_they_keep(lab: Lab, shown: dict[str, Any]) -> None:
    run = stored(lab, shown).runs[1]
    for step in (0, run.steps - 1):
        (heat,) = held_by_head(run, step).data
        counts = np.asarray(heat.z)
        for layer, head in np.ndindex(counts.shape):
            assert counts[layer, head] == len(run.kept(step, layer, head))


def test_lanes_tell_what_is_protected(shown: dict[str, Any]) -> None:
    full, streaming = shown["lanes"]["lanes"]
    assert (full["rest"], streaming["rest"]) == ("kept", "recent")
    assert (streaming["first"], streaming["newest"]) == (2, 0)


def test_lanes_tell_what_a_selecting_policy_reads(lab: Lab, page: Visit) -> None:
    found = ran(page, policies=["token_select"], parameters={}, budget=16)
    (lane,) = found["lanes"]["lanes"]
    (run,) = stored(lab, found).runs
    assert lane["rest"] == "selected"
    assert len(lane["selected"]) == STEPS - 1
    for step, text in lane["selected"]:
        bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))
        expected = run.selected(step, 1, 0)
        assert expected is not None
        assert np.flatnonzero(bits).tolist() == expected.tolist()


def test_the_table_says_what_each_policy_saves_and_costs(shown: dict[str, Any]) -> None:
    told = words(shown["cache_table"])
    assert "Full cache nothing" in told
    assert "StreamingLLM evict" in told
    assert "(100%)" in told
    assert "Budget 12 entries per head" in told


def test_another_head_is_shown_without_the_model(
    page: Visit, shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    page.open(run_of(shown))
    monkeypatch.setattr(ModelRegistry, "use", None)  # no model can be had
    found = page.pick(layer=0, head=1, policy="full")
    held = {"lanes", "cache_map", "cache_scores", "cache_heads"}
    assert set(found) == held | GROUPING | {"drawn"}
    assert "layer 0, KV head 1" in json.loads(found["cache_map"])["layout"]["meta"]["label"]
    assert "nowhere" in page.pick(run="nowhere", runs={"run": "nowhere"})["status"]


def test_another_step_changes_no_map_of_tokens(page: Visit) -> None:
    ran(page, policies=["h2o"], parameters={})
    assert page.told["steps"] == STEPS
    assert page.told["step"] == 0
    found = page.pick(step=2)
    assert set(found) == {"cache_scores", "cache_heads", "drawn"} | GROUPING
    assert found["drawn"]["place"]["step"] == 2


def test_a_stored_run_comes_back_with_its_prompt(lab: Lab, page: Visit, shown: Any) -> None:
    run = run_of(shown)
    assert run in {known for _, known in stored_runs(lab, "cache", page.visitor)}
    found = page.open(run)
    asked = page.asked()
    assert {name: asked[name] for name in USUAL if name != "parameters"} == {
        name: value for name, value in USUAL.items() if name != "parameters"
    }
    assert asked["parameters"]["streaming_llm"]["sink"] == 2
    assert found["selection"]["run"] == run
    assert found["lanes"] == shown["lanes"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"policies": []}, "choose 1 to 5"),
        ({"policies": ["full"] * 6}, "choose 1 to 5"),
        ({"policies": "full"}, "choose 1 to 5"),
        ({"policies": ["no such"]}, "no such"),
        ({"parameters": {"streaming_llm": {"sink": "many"}}}, "sink"),
        ({"parameters": {"streaming_llm": {"sink": 999}}}, "sink"),
        ({"budget": 2}, "budget"),
        ({"budget": None}, "budget"),
        ({"budget": "<b>"}, "budget"),
        ({"text": ""}, "text"),
        ({"model": "local/none"}, "local/none"),
    ],
)
def test_what_a_visitor_can_mend_is_one_line(
    page: Visit, changes: dict[str, object], said: str
) -> None:
    last = ran(page, **changes)
    assert set(last) <= {"status", "selection", "running"}
    assert 'role="alert"' in last["status"]
    assert said in words(last["status"])
    assert "<b>" not in last["status"]


@pytest.mark.parametrize(
    "place",
    [
        {"layer": None, "head": None, "step": None, "policy": None},
        {"layer": "x", "head": [], "step": {}, "policy": 3},
        {"layer": 99, "head": -5, "step": float("nan"), "policy": "none"},
        {"layer": 0, "head": 10**6, "step": 10**6, "policy": ""},
    ],
)
def test_any_place_a_browser_names_is_moved_inside(
    page: Visit, shown: dict[str, Any], place: dict[str, Any]
) -> None:
    page.open(run_of(shown))
    page.pick(**place)
    assert json.loads(page.values["cache_map"])["data"]
    assert page.status() == ""


def test_the_card_tells_the_run(lab: Lab, page: Visit, shown: dict[str, Any]) -> None:
    told = words(page.cost(**USUAL))
    result = stored(lab, shown)
    assert f"{len(result.prompt_ids)} of the prompt, {STEPS} new" in told
    assert "12 entries per head" in told
    assert "3 readings of the prompt, 10 decode steps" in told
    for held in result.cache_bytes[:, -1].tolist():
        assert size(held) in told
    assert "from runs of this model on this machine" in told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget": 2}, "raise budget to at least 3"),
        ({"policies": []}, "choose 1 to 5"),
        ({"text": ""}, "text"),
        ({"model": "local/none"}, "local/none"),
        ({"policies": ["tova"], "parameters": {}}, "not known: TOVA never ran"),
    ],
)
def test_the_card_says_what_stands_in_the_way(
    page: Visit, shown: dict[str, Any], changes: dict[str, object], said: str
) -> None:
    assert said in words(page.cost(**(USUAL | changes)))


def test_scores_are_drawn_beside_their_noise(lab: Lab, page: Visit) -> None:
    found = ran(page, policies=["h2o"], parameters={})
    (run,) = stored(lab, found).runs
    told, figure = run.score(STEPS, 1, 0), scores(run, STEPS, 1, 0)
    assert told is not None
    assert figure is not None
    (drawn,) = (trace for trace in figure.data if trace.name == "by chance")
    np.testing.assert_array_equal(drawn.y, told.noise_pooled)
    assert np.isfinite(told.noise_pooled).any()


def test_a_prompt_in_parts_is_asked_for_told_before_and_reopened(lab: Lab) -> None:
    page = Visit(lab, Cache)
    page.fill(**USUAL, prompt_chunk=5)
    (asked,) = page.page.requests(page.asked())
    assert asked.prompt_chunk == 5
    assert page.page.filled(asked)["prompt_chunk"] == 5
    page.fill(prompt_chunk=0)
    (plain,) = page.page.requests(page.asked())
    assert plain.prompt_chunk is None
    assert page.page.filled(plain)["prompt_chunk"] == 0
    parts = -(-lab.estimate(asked).prompt_tokens // 5)
    assert f"readings of the prompt in {parts} parts" in page.page.card(lab.estimate(asked), asked)
    assert "parts" not in page.page.card(lab.estimate(plain), plain)
