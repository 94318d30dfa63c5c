"""Handlers of the Explore page: what a visitor does, and which views come back."""

import base64
import dataclasses
import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest

from tests.ui.conftest import MODEL, Reader
from tests.ui.test_sentence import words
from tokenarium.backend import Lab
from tokenarium.ui.components.options import controls
from tokenarium.ui.components.runs import stored_runs
from tokenarium.ui.pages.explore import OPTIONS, Explore, TraceRequest
from tokenarium.ui.views.registry import make_views
from tokenarium.ui.views.view import Values

PARTS = {"sentence", "strip", "card", "grid", "map", "received"}
DEFAULTS = tuple(found.value for found in controls(TraceRequest, OPTIONS))
AS_BUILT: dict[str, Any] = {}
"""What the controls of the views say before anybody touches them."""
Read = Callable[..., Values]


def browser(secret: str = "a" * 32, **query: str) -> Any:
    return SimpleNamespace(
        cookies={"tokenarium_visitor": secret}, session_hash="s", query_params=query
    )


@pytest.fixture
def explore(lab: Lab, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> Explore:
    """The page's handlers, drawing every part of a run that they are told of."""
    monkeypatch.setattr("tokenarium.ui.pages.explore.PARTIAL_EVERY_S", 0)
    return Explore(lab)


@pytest.fixture
def read(explore: Explore) -> Read:
    """Run a text and return the last thing that the page is told."""

    def run(text: str = "five!", **more: Any) -> Values:
        return list(running(explore, text, **more))[-1]

    return run


def running(
    explore: Explore,
    text: str,
    *,
    model: str = MODEL,
    options: Any = DEFAULTS,
    who: Any = None,
    view: str = "attention",
) -> Iterator[Values]:
    return explore.run(model, text, options, {"view": view}, AS_BUILT, who or browser())


def until_part(steps: Iterator[Values]) -> tuple[list[Values], Values]:
    """Return what was told before the first partial result, and the result's views."""
    before = []
    for found in steps:
        if "selection" in found:
            return before, found
        before.append(found)
    raise AssertionError("no partial result")


def told(values: Values) -> dict[str, Any]:
    """Return the selection as the browser sends it back."""
    return dict(values["selection"])


def numbers(metric: dict[str, Any]) -> np.ndarray:
    halves = np.frombuffer(base64.b64decode(metric["values"]), "<f2")
    return np.ldexp(halves.astype(np.float64), -metric["exponent"])


def test_run_tells_progress_then_a_part_then_the_whole(explore: Explore, reader: Reader) -> None:
    reader.gate.clear()
    steps = running(explore, "parts")
    before, part = until_part(steps)
    assert "reading layer · 1 of 2" in before[-1]["status"]
    assert set(part) >= PARTS
    assert "partial" in part["sentence"]
    assert part["selection"]["run"] is None
    assert part["selection"]["partial"]
    assert part["shown"].partial is not None
    reader.gate.set()
    last = list(steps)[-1]
    assert set(last) >= PARTS
    assert last["selection"]["run"]
    assert last["status"] == ""
    assert last["shown"].partial is None


def test_a_run_that_is_soon_done_shows_no_part(
    make_lab: Callable[..., Lab], reader: Reader
) -> None:
    steps = running(Explore(make_lab()), "soon done")
    assert [found["sentence"] for found in steps if "partial" in found.get("sentence", "")] == []


def test_a_closed_page_cancels_its_run(make_lab: Callable[..., Lab], reader: Reader) -> None:
    lab = make_lab()
    reader.gate.clear()
    steps = running(Explore(lab), "never finished")
    next(steps)
    steps.close()
    lab._workshop.close()
    reader.gate.set()
    assert [record.text for record in lab.search(text="never")] == []


def test_the_same_text_again_is_not_read_again(read: Read, reader: Reader) -> None:
    assert read("again")["selection"]["run"] == read("again")["selection"]["run"]
    assert reader.texts == ["again"]


@pytest.mark.parametrize(
    ("model", "text", "said"),
    [
        (MODEL, "", "text"),
        (MODEL, "\ud800", "surrogate"),
        (MODEL, "x" * 600, "600 tokens"),
        ("local/none", "text", "local/none"),
        ("no model <b>", "text", "no model &lt;b&gt;"),
    ],
)
def test_what_a_visitor_can_mend_is_one_line_of_status(
    explore: Explore, model: str, text: str, said: str
) -> None:
    last = list(running(explore, text, model=model))[-1]
    assert set(last) == {"status"}
    assert 'role="alert"' in last["status"]
    assert said in last["status"]
    assert "Traceback" not in last["status"]


def test_an_option_out_of_range_is_named(explore: Explore) -> None:
    options = dict(zip(OPTIONS, DEFAULTS, strict=True)) | {"top_k": 1000}
    last = list(running(explore, "five!", options=tuple(options.values())))[-1]
    assert "top_k=1000" in last["status"]


def test_without_lens_the_lens_view_is_emptied(explore: Explore, read: Read) -> None:
    options = dict(zip(OPTIONS, DEFAULTS, strict=True)) | {"logit_lens": False}
    found = read("five!", options=tuple(options.values()), view="predictions")
    assert found["lens"] is None


def test_no_sink_rate_below_64_tokens(read: Read) -> None:
    assert "no sink rate is stated" in words(read("x" * 63)["sentence"])
    assert "In this run the first token" in words(read("x" * 64)["sentence"])


def test_a_token_changes_the_card_only(explore: Explore, read: Read) -> None:
    shown = read("five!")
    found = explore.pick(told(shown) | {"token": 3}, shown["shown"], AS_BUILT, browser())
    assert set(found) == {"card", "shown"}
    assert "token 3 of 5" in found["card"]
    assert found["shown"].selection.token == 3


def test_a_far_token_moves_the_lens_where_it_is_open(explore: Explore, read: Read) -> None:
    shown = read("x" * 80, view="predictions")
    value = told(shown) | {"view": "predictions"}
    near = explore.pick(value | {"token": 1}, shown["shown"], AS_BUILT, browser())
    assert set(near) == {"card", "shown"}
    far = explore.pick(value | {"token": 70}, shown["shown"], AS_BUILT, browser())
    assert set(far) == {"card", "lens", "shown"}


def test_a_head_changes_what_belongs_to_it(explore: Explore, read: Read) -> None:
    shown = read("five!")
    found = explore.pick(told(shown) | {"layer": 0, "head": 1}, shown["shown"], AS_BUILT, browser())
    assert set(found) == {"card", "map", "received", "strip", "shown"}
    assert "layer 0, head 1" in json.loads(found["map"])["layout"]["meta"]["label"]
    assert set(found["strip"]) == {"patch"}


def test_another_view_is_drawn_when_it_is_opened(explore: Explore, read: Read) -> None:
    shown = read("five!")
    value = told(shown) | {"view": "predictions"}
    found = explore.pick(value, shown["shown"], AS_BUILT, browser())
    assert set(found) == {"views", "predictability", "lens", "shown"}
    assert found["views"].selected == "predictions"
    assert explore.pick(value, found["shown"], AS_BUILT, browser()).keys() == {"shown"}


def test_a_view_that_does_not_exist_is_the_first_one(explore: Explore, read: Read) -> None:
    shown = read("five!")
    found = explore.pick(told(shown) | {"view": "no such"}, shown["shown"], AS_BUILT, browser())
    assert set(found) == {"shown"}
    assert found["shown"].view == "attention"


@pytest.mark.parametrize("slug", list(make_views(SimpleNamespace())))  # type: ignore[arg-type]
def test_every_view_draws_all_its_parts(explore: Explore, read: Read, slug: str) -> None:
    with gr.Blocks():
        explore.views[slug].build({})
    found = read("x" * 70, view=slug)
    view = explore.views[slug]
    assert set(found) >= view.parts.keys() - view.controls.keys()
    assert found["shown"].view == slug


def test_another_run_is_opened_whole(explore: Explore, read: Read) -> None:
    first, second = read("first text"), read("second")
    found = explore.pick(told(first) | {"token": 2}, second["shown"], AS_BUILT, browser())
    assert set(found) >= PARTS
    assert found["text"] == "first text"
    assert found["selection"]["token"] == 2
    assert found["shown"].selection.run == first["selection"]["run"]


def test_a_run_that_is_gone_is_said(explore: Explore, read: Read) -> None:
    shown = read("five!")["shown"]
    found = explore.pick({"run": "nowhere"}, shown, AS_BUILT, browser())
    assert set(found) == {"status"}
    assert "nowhere" in found["status"]


@pytest.mark.parametrize("value", [None, "x", 7, [], {"run": 3}, {"token": "1"}])
def test_nonsense_from_a_browser_is_answered_in_words(explore: Explore, value: object) -> None:
    found = explore.pick(value, None, AS_BUILT, browser())
    assert "press Run first" in found["status"]


def test_a_part_can_be_explored_while_it_lasts(explore: Explore, reader: Reader) -> None:
    reader.gate.clear()
    steps = running(explore, "piece")
    _, part = until_part(steps)
    found = explore.pick(told(part) | {"token": 2}, part["shown"], AS_BUILT, browser())
    assert "token 2 of 5" in found["card"]
    assert found["shown"].partial is part["shown"].partial
    steps.close()


def test_the_address_opens_run_and_selection(explore: Explore, read: Read) -> None:
    run = read("five!")["selection"]["run"]
    asked = browser(run=run, token="3", layer="0", head="1", query="4")
    chosen = explore.boot(AS_BUILT, asked)["shown"].selection
    assert dataclasses.astuple(chosen) == (run, 3, 4, 0, 1, None)


def test_an_address_without_a_run_changes_nothing(explore: Explore) -> None:
    assert explore.boot(AS_BUILT, browser(token="3")) == {}


@pytest.mark.parametrize("token", ["-1", "1e3", "٣", "9" * 30, "<b>", ""])
def test_a_bad_number_in_the_address_is_left_out(explore: Explore, read: Read, token: str) -> None:
    run = read("five!")["selection"]["run"]
    assert explore.boot(AS_BUILT, browser(run=run, token=token))["shown"].selection.token == 0


def test_a_bad_run_in_the_address_is_said(explore: Explore) -> None:
    found = explore.boot(AS_BUILT, browser(run="<script>"))
    assert 'role="alert"' in found["status"]
    assert "<script>" not in found["status"]


def test_grid_and_map_change_with_the_look(explore: Explore, read: Read) -> None:
    shown = read("five!")
    value = told(shown) | {"layer": 1, "head": 2}
    settings = {"grid_metric": "self", "pooling": "max"}
    found = explore.restyle(value, shown["shown"], settings, browser())
    assert set(found) == {"grid", "map", "received"}
    assert "attention to itself" in json.loads(found["grid"])["layout"]["meta"]["label"]
    assert "each cell one pair" in json.loads(found["map"])["layout"]["meta"]["label"]


def test_a_rectangle_of_a_long_text_is_read_in_finer_tiles(
    explore: Explore, read: Read, reader: Reader
) -> None:
    shown = read("x" * 130)
    value = told(shown) | {"layer": 0, "head": 3, "zoom": {"queries": [40, 90], "keys": [10, 30]}}
    found = explore.zoom(value, shown["shown"], AS_BUILT, browser())
    asked = reader.regions[0]
    assert (asked.layer, asked.head) == (0, 3)
    assert (asked.query_start, asked.query_stop) == (40, 90)
    assert (asked.key_start, asked.key_stop) == (10, 30)
    figure = json.loads(found["map"])
    assert figure["layout"]["xaxis"]["range"] == [9.5, 29.5]
    assert figure["layout"]["yaxis"]["range"] == [89.5, 39.5]


def test_zooming_out_shows_the_whole_map(explore: Explore, read: Read, reader: Reader) -> None:
    shown = read("x" * 130)
    found = explore.zoom(
        told(shown) | {"zoom": {"reset": True}}, shown["shown"], AS_BUILT, browser()
    )
    assert json.loads(found["map"])["layout"]["xaxis"]["range"] == [-0.5, 129.5]
    assert reader.regions == []


def test_a_short_text_has_nothing_finer(explore: Explore, read: Read, reader: Reader) -> None:
    shown = read("five!")
    value = told(shown) | {"zoom": {"queries": [0, 3], "keys": [0, 3]}}
    assert explore.zoom(value, shown["shown"], AS_BUILT, browser()) == {}
    assert reader.regions == []


@pytest.mark.parametrize(
    "zoom",
    [
        {"queries": [90, 40], "keys": [-5, 1e9]},
        {"queries": "x", "keys": None},
        {"queries": [float("nan"), float("inf")], "keys": [True, "3"]},
        {"queries": [1, 2, 3], "keys": [[1], {}]},
        {},
    ],
)
def test_any_rectangle_stays_inside_the_text(
    explore: Explore, read: Read, reader: Reader, zoom: dict[str, Any]
) -> None:
    shown = read(repr(zoom).ljust(130))
    explore.zoom(told(shown) | {"zoom": zoom}, shown["shown"], AS_BUILT, browser())
    asked = reader.regions[0]
    assert 0 <= asked.query_start < asked.query_stop <= 130
    assert 0 <= asked.key_start < asked.key_stop <= 130


@pytest.mark.parametrize("value", [None, "x", {"zoom": 3}, {"run": "r", "zoom": [1]}])
def test_a_zoom_without_a_rectangle_changes_nothing(explore: Explore, value: object) -> None:
    assert explore.zoom(value, None, AS_BUILT, browser()) == {}


def test_the_strip_and_the_exported_file_hold_the_same_numbers(
    explore: Explore, read: Read, lab: Lab
) -> None:
    found = read("eleven char")
    strip = found["strip"]["metrics"]
    file = json.loads(lab.export(found["selection"]["run"]))
    values = file["values"]
    for metric, field in (
        ("surprisal", "surprisal_nats"),
        ("entropy", "entropy_nats"),
        ("varentropy", "varentropy_nats2"),
    ):
        exported = np.float32([np.nan if v is None else v for v in values[field]])
        assert numbers(strip[metric]) == pytest.approx(exported, rel=2**-11, nan_ok=True)
    chosen = found["shown"].selection
    head = np.float32(values["received_mass"])[chosen.layer, chosen.head]
    assert numbers(strip["head"]) == pytest.approx(head, rel=2**-11)
    assert strip["surprisal"]["formula"] == file["definitions"]["surprisal_nats"]["formula"]


def test_hosted_runs_are_listed_to_their_visitor_only(make_lab: Callable[..., Lab]) -> None:
    explore = Explore(make_lab(hosted=True))
    one, other = browser("a" * 32), browser("b" * 32)
    run = list(running(explore, "mine", who=one))[-1]["selection"]["run"]
    assert run in {found for _, found in stored_runs(explore.lab, one)}
    assert run not in {found for _, found in stored_runs(explore.lab, other)}
    assert explore.open(run, {}, AS_BUILT, other)["text"] == "mine"


def test_stored_runs_are_named_by_their_text(explore: Explore, read: Read) -> None:
    run = read("a\n  b")["selection"]["run"]
    assert ("a b · local/tiny", run) in stored_runs(explore.lab, browser())


def test_opening_nothing_changes_nothing(explore: Explore) -> None:
    assert explore.open(None, {}, AS_BUILT, browser()) == {}


def test_the_pill_follows_the_model(explore: Explore) -> None:
    shown, moving = explore.state(MODEL)
    assert "tiny: cold" in words(shown)
    assert moving
    shown, moving = explore.state("local/none")
    assert "local/none" in shown
    assert not moving
