"""The Explore page: what a visitor does, and which panels come back."""

import json
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from tests.ui import hand_made
from tests.ui.browser_stub import Visit
from tests.ui.conftest import MODEL, Reader
from tests.ui.explore_visit import PARTS, explore, numbers, read, running, until_part
from tests.ui.test_sentence import words
from tokenarium.backend import Lab
from tokenarium.ui.pages.explore import Explore
from tokenarium.ui.shell.panel import Values
from tokenarium.ui.shell.stored import stored_runs

__all__ = ["explore"]


def test_run_tells_progress_then_a_part_then_the_whole(explore: Visit, reader: Reader) -> None:
    reader.gate.clear()
    steps = running(explore, "parts")
    before, part = until_part(explore, steps)
    assert "reading layer · 1 of 2" in before[-1]["status"]
    assert set(part) >= PARTS
    assert "partial" in part["sentence"]
    assert part["selection"]["run"] is None
    assert part["selection"]["partial"]
    reader.gate.set()
    last = explore.every(steps)[-1]
    assert set(last) >= PARTS
    assert last["selection"]["run"] == before[0]["selection"]["id"]
    assert last["status"] == ""


def test_a_run_that_is_soon_done_shows_no_part(
    make_lab: Callable[..., Lab], reader: Reader
) -> None:
    found = Visit(make_lab(), Explore).run(text="soon done", model=MODEL)
    assert [step for step in found if "partial" in step.get("sentence", "")] == []


def test_the_same_text_again_is_not_read_again(explore: Visit, reader: Reader) -> None:
    first = read(explore, "again")["selection"]["run"]
    assert read(explore, "again")["selection"]["run"] == first
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
    explore: Visit, model: str, text: str, said: str
) -> None:
    last = read(explore, text, model=model)
    assert set(last) <= {"status", "selection", "running"}
    assert 'role="alert"' in last["status"]
    assert said in last["status"]
    assert "Traceback" not in last["status"]


def test_an_option_out_of_range_is_named(explore: Visit) -> None:
    last = read(explore, options={"options": {"top_k": 1000}})
    assert "top_k=1000" in last["status"]


@pytest.fixture
def at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is loaded."""
    ready = SimpleNamespace(state="ready")
    monkeypatch.setattr(Lab, "state", lambda *_: ready)


def lens_of(found: Values) -> tuple[list[int], list[str]]:
    """Return the tokens and the words of the output's row in the lens that was drawn."""
    (heat,) = json.loads(found["lens"])["data"]
    return heat["x"], heat["text"][-1]


@pytest.mark.usefixtures("at_hand")
def test_predictions_ask_for_the_rows_in_sight(explore: Visit, reader: Reader) -> None:
    explore.told["view"] = "predictions"
    found = read(explore, "s" * 130)
    assert [request.rows for request in reader.lenses] == [tuple(range(64))]
    assert "64 of 130 tokens, products in bfloat16" in words(found["lens_said"])
    assert "KL by 0.046 nats" in words(found["lens_said"])
    shown, said = lens_of(found)
    assert shown == list(range(14))
    assert said == list(hand_made.trace(130).lens_text[-1][:14])
    explore.pick(token=40)
    assert len(reader.lenses) == 1 + (40 - 7 >= 32)
    found = explore.pick(token=129)
    assert reader.lenses[-1].rows == tuple(range(96, 130))
    assert lens_of(found)[1] == list(hand_made.trace(130).lens_text[-1][116:])


@pytest.mark.usefixtures("at_hand")
def test_the_whole_map_is_decoded_once_by_choice(explore: Visit, reader: Reader) -> None:
    explore.told["view"] = "predictions"
    read(explore, "w" * 100)
    panel = explore.page.tabs["predictions"]
    (action,) = panel.actions()
    *steps, last = explore.every(explore.handlers.act(panel, action, explore.asker()))
    assert any("decoding layers" in str(step.get("status")) for step in steps)
    assert steps[0]["running"]
    assert last["running"] is None
    assert reader.lenses[-1].rows == ()
    assert "100 of 100 tokens" in words(last["lens_said"])
    asked = len(reader.lenses)
    explore.pick(token=99)
    assert len(reader.lenses) == asked


def test_a_lens_waits_where_the_model_is_not_loaded(explore: Visit, reader: Reader) -> None:
    explore.told["view"] = "predictions"
    found = read(explore, "not loaded")
    assert found["lens"] is None
    assert "The model is not loaded" in words(found["lens_said"])
    assert reader.lenses == []


def test_no_sink_rate_below_64_tokens(explore: Visit) -> None:
    assert "can be said from 64 tokens on" in words(read(explore, "x" * 63)["sentence"])
    assert "heads give over 30% of theirs" in words(read(explore, "x" * 64)["sentence"])


def test_a_token_changes_the_card_only(explore: Visit) -> None:
    read(explore)
    found = explore.pick(token=3)
    assert set(found) == {"card", "drawn"}
    assert "token 3 of 5" in words(found["card"])
    assert found["drawn"]["place"]["token"] == 3


def test_a_far_token_moves_the_lens_where_it_is_open(explore: Visit) -> None:
    explore.told["view"] = "predictions"
    read(explore, "x" * 80)
    assert set(explore.pick(token=1)) == {"card", "drawn"}
    moved = {"lens", "lens_said", "lens_go"}
    assert set(explore.pick(token=70)) == {"card", "drawn", *moved}


def test_a_head_changes_what_belongs_to_it(explore: Visit) -> None:
    read(explore)
    found = explore.pick(layer=0, head=1)
    assert set(found) == {"card", "map", "received", "strip", "drawn"}
    assert "layer 0, head 1" in json.loads(found["map"])["layout"]["meta"]["label"]
    assert set(found["strip"]) == {"patch"}


def test_another_view_is_drawn_when_it_is_opened(explore: Visit) -> None:
    read(explore)
    found = explore.pick(view="predictions")
    assert set(found) == {"views", "predictability", "lens", "lens_said", "lens_go", "drawn"}
    assert found["views"].selected == "predictions"
    # its tab was pressed: it is open, and an answer that is late must not open it again
    pressed = explore.pick(view="sinks", tab="sinks")
    assert "drawn" in pressed
    assert "views" not in pressed
    assert explore.pick().keys() == {"drawn"}


def test_a_view_that_does_not_exist_is_the_first_one(explore: Visit) -> None:
    read(explore)
    found = explore.pick(view="no such")
    assert set(found) == {"drawn"}
    assert found["drawn"]["view"] == "attention"


@pytest.mark.parametrize("slug", [view.slug for view in Explore.views])
def test_every_view_draws_all_its_parts(explore: Visit, slug: str) -> None:
    explore.told["view"] = slug
    found = read(explore, "x" * 70)
    view = explore.page.tabs[slug]
    assert set(found) >= view.parts.keys() - view.controls.keys()
    assert found["drawn"]["view"] == slug


def test_grid_and_map_change_with_the_look(explore: Visit) -> None:
    read(explore)
    explore.pick(layer=1, head=2)
    explore.values |= {"grid_metric": "self", "pooling": "max"}
    found = explore.handlers.restyle(explore.page.tabs["attention"], explore.asker())
    assert set(found) == {"grid", "map", "received"}
    assert "attention to itself" in json.loads(found["grid"])["layout"]["meta"]["label"]
    assert "each cell one pair" in json.loads(found["map"])["layout"]["meta"]["label"]


def test_the_strip_and_the_exported_file_hold_the_same_numbers(explore: Visit, lab: Lab) -> None:
    found = read(explore, "eleven char")
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
    place = found["drawn"]["place"]
    head = np.float32(values["received_mass"])[place["layer"], place["head"]]
    assert numbers(strip["head"]) == pytest.approx(head, rel=2**-11)
    assert strip["surprisal"]["formula"] == file["definitions"]["surprisal_nats"]["formula"]


def test_hosted_runs_are_listed_to_their_visitor_only(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(hosted=True)
    one, other = Visit(lab, Explore, "a" * 32), Visit(lab, Explore, "b" * 32)
    run = one.run(text="mine", model=MODEL)[-1]["selection"]["run"]
    assert run in {found for _, found in stored_runs(lab, "trace", one.visitor)}
    assert run not in {found for _, found in stored_runs(lab, "trace", other.visitor)}
    assert other.open(run)["text"] == "mine"


def test_a_hosted_run_is_cancelled_by_its_visitor_only(
    make_lab: Callable[..., Lab], reader: Reader
) -> None:
    lab = make_lab(hosted=True)
    one, other = Visit(lab, Explore, "a" * 32), Visit(lab, Explore, "b" * 32)
    reader.gate.clear()
    one.fill(text="whose", model=MODEL)
    steps = one.running()
    ids = one.take(next(steps))["selection"]["id"]
    other.values["running"] = ids
    other.cancel()
    assert "not yours" in other.status()
    other.boot(f"run={ids}")
    assert 'role="alert"' in other.status()
    reader.gate.set()
    assert one.every(steps)[-1]["selection"]["run"] == ids


def test_stored_runs_are_named_by_their_text(explore: Visit, lab: Lab) -> None:
    run = read(explore, "a\n  b")["selection"]["run"]
    assert ("a b · local/tiny", run) in stored_runs(lab, "trace", explore.visitor)


def test_opening_nothing_changes_nothing(explore: Visit) -> None:
    assert explore.open(None) == {}


def test_the_pill_follows_the_model(explore: Visit) -> None:
    shown, moving = explore.handlers.state(MODEL)
    assert "tiny: cold" in words(shown)
    assert moving
    shown, moving = explore.handlers.state("local/none")
    assert "local/none" in shown
    assert not moving
