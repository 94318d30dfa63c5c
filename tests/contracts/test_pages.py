"""Every page opens, runs, cancels with words, reopens, saves, and says its errors."""

import base64
import io
import json
import zipfile
from typing import Any

import gradio as gr
import orjson
import pytest
from pyarrow.parquet import read_table

from tests.contracts.visits import (
    LONG,
    PAGES,
    SHORT,
    asking,
    pages,
    pressed,
    ran,
    sections,
    visit,
)
from tests.ui.browser_stub import Visit
from tests.ui.test_sentence import words
from tokenarium.backend import Lab, UserError, comparable
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.ui.page import build
from tokenarium.ui.pages.explore import Explore
from tokenarium.ui.shell.drawing import BETWEEN
from tokenarium.ui.shell.following import CANCELLED
from tokenarium.ui.shell.handlers import NOTHING_RUNS
from tokenarium.ui.shell.panel import AnyScene, Panel, Values
from tokenarium.ui.shell.saving import COMPARED, offered
from tokenarium.ui.shell.section import MAIN, RunPage
from tokenarium.ui.shell.wiring import Wiring

LARGEST_BYTES = 264_000
ODD = ("kernel",)
"""Parameters that are odd numbers only."""


@pages
def test_a_page_opens_with_the_example_of_its_kind(lab: Lab, page: type[RunPage]) -> None:
    found = visit(lab, page)
    example = lab.examples(page.kinds[0].kind)[0]
    assert found.shown() == example.run_id
    assert found.values["text"] == example.request.text  # type: ignore[attr-defined]
    assert found.values["sentence"]
    assert found.values["facts"]
    assert found.messages[0]["why"] == "first"
    assert found.messages[0]["example"] == example.run_id


@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("text", "figure", "page 'Explore' has a control named 'text'"),
        ("text", "control", "page 'Explore' has a control named 'text'"),
        ("sentence", "figure", "page 'Explore' has a part of panel 'twice' named 'sentence'"),
        ("facts", "html", "named 'facts', and another part or control of that name"),
    ],
)
def test_two_parts_of_one_name_are_refused(lab: Lab, name: str, place: str, words: str) -> None:
    class Twice(Panel):
        slug = "twice"

        def build(self) -> None:
            if place == "figure":
                self.figure(name, "A title", "")
            elif place == "html":
                self.html(name)
            else:
                self.control(name, gr.Textbox())

        def draw(self, scene: AnyScene) -> Values:
            return self.empty()

    class Doubled(Explore):
        panels = (Twice,)

    with gr.Blocks() as blocks, pytest.raises(ValueError, match=words):
        Wiring(Doubled(lab), lab, blocks)


def test_a_page_is_sent_alone_and_small(lab: Lab) -> None:
    blocks = build(lab)
    config = blocks.get_config_file()
    for page in PAGES:
        parts = set(config["page"][page.path]["components"])
        mine = [part for part in config["components"] if part["id"] in parts]
        events = set(config["page"][page.path]["dependencies"])
        wired = [event for event in config["dependencies"] if event["id"] in events]
        rest = {n: v for n, v in config.items() if n not in ("components", "dependencies")}
        assert len(orjson.dumps([mine, wired, rest])) < LARGEST_BYTES, page.title
        assert sum(len(event["inputs"]) for event in wired) < 1200, page.title


@sections
def test_a_run_is_shown_and_named_before_it_ends(
    lab: Lab, done: dict[Any, Visit], page: type[RunPage], slug: str
) -> None:
    found = ran(lab, done, page, slug)
    ids = found.shown(slug)
    assert ids
    assert found.status(slug) == ""
    start, *_, finish = [m for m in found.messages if m["section"] == slug and m["why"] != "first"]
    assert (start["why"], finish["why"]) == ("start", "finish")
    assert start["id"] == finish["id"] == ids
    for run_id in ids.split(BETWEEN):
        assert type(lab.open(run_id).request) in found.page.sections[slug].kinds
    for panel in found.page.sections[slug].shown:
        assert any(found.values[name] for name in panel.parts) or not panel.parts


def others(component: Any) -> list[Any]:
    """Return values that a control can have and has not."""
    value, kind = component.value, type(component).__name__
    if kind == "Checkbox":
        return [not value]
    if kind in ("Slider", "Number"):
        high, step = component.maximum, getattr(component, "step", None) or 1
        return [value - step if high is not None and value + step > high else value + step]
    if kind == "Dropdown":
        slugs = [slug for _, slug in component.choices]
        if component.multiselect:
            return [[slug] for slug in slugs if slug not in value]
        return [slug for slug in slugs if slug != value]
    return ["A different text."]


@pages
def test_a_run_is_reopened_with_every_control_as_it_was_asked(
    lab: Lab, page: type[RunPage]
) -> None:
    usual = visit(lab, page)
    (asked,) = usual.page.requests(usual.asked())
    told = set()
    for name, component in usual.layout.controls.parts.items():
        if name in usual.layout.controls.forms:
            continue
        for value in others(component):
            changed = visit(lab, page)
            changed.fill(**{name: value})
            changed.follow(name)
            try:
                (wanted,) = changed.page.requests(changed.asked())
            except UserError:
                continue  # what is out of range is another test's
            if wanted == asked:
                continue  # a control of another section
            back = visit(lab, page)
            back.take(back.page.filled(wanted))
            assert list(back.page.requests(back.asked())) == [wanted], name
            told.add(name)
            break
    assert told >= {"text", "model"}
    assert page.path != "cache" or "oracle" in told


def one_asked(found: Visit, slug: str) -> Any:
    """Return what a section asks for, where its controls are filled and it asks one thing."""
    try:
        asked = found.page.sections[slug].requests(found.asked())
    except UserError:
        return None
    return asked[0] if len(asked) == 1 else None


@pages
def test_a_run_is_reopened_with_every_parameter_as_it_was_asked(
    lab: Lab, page: type[RunPage]
) -> None:
    found = visit(lab, page)
    for form in found.layout.controls.forms:
        for group in found.values[form]["groups"]:
            for field in group["fields"]:
                if field["type"] not in ("check", "range"):
                    continue
                fresh = visit(lab, page)
                groups = json.loads(json.dumps(fresh.values[form]))
                for each in groups["groups"]:
                    for one in each["fields"]:
                        if (each["slug"], one["name"]) == (group["slug"], field["name"]):
                            one["value"] = _moved(field)
                fresh.values[form] = groups
                changed = {
                    slug: wanted
                    for slug in found.page.sections
                    if (wanted := one_asked(fresh, slug)) != one_asked(found, slug)
                }
                assert changed, field["name"]
                if MAIN in changed:  # other sections may share its controls
                    changed = {MAIN: changed[MAIN]}
                for slug, wanted in changed.items():
                    back = visit(lab, page)
                    section = back.page.sections[slug]
                    back.take(section.filled(wanted))
                    assert list(section.requests(back.asked())) == [wanted], field["name"]


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run tell how far it is again and again, and go on only to be cancelled."""
    report = ProgressReporter.report

    def again(self: ProgressReporter, *told: Any, **more: Any) -> None:
        while True:
            report(self, *told, **more)
            self.cancel._event.wait(0.02)

    monkeypatch.setattr(ProgressReporter, "report", again)


@sections
@pytest.mark.usefixtures("endless")
def test_a_run_outlives_its_page_and_is_cancelled_with_words(
    lab: Lab, page: type[RunPage], slug: str
) -> None:
    found = visit(lab, page)
    found.fill(**asking(found, LONG))
    steps = found.running(slug)
    ids = found.take(next(steps))["selection"]["id"]
    found.take(next(steps))
    steps.close()  # the visitor goes to another page: the socket is gone
    again = visit(lab, page)
    arrived = again.handlers.boot(f"{slug}={ids}", None, again.asker())
    heard = iter(arrived)
    for told in heard:
        again.take(told)
        if "busy" in again.status(slug):
            break
    else:
        raise AssertionError("the run is not found again")
    again.cancel(slug)
    assert CANCELLED in words(again.status(slug))
    again.every(heard)
    assert CANCELLED in words(again.status(slug))
    assert again.messages[-1]["why"] == "stop"
    again.cancel(slug)
    assert NOTHING_RUNS in words(again.status(slug))
    assert lab.search(text="and went on") == []


@sections
def test_what_a_page_offers_to_save_can_be_saved(
    lab: Lab, done: dict[Any, Visit], page: type[RunPage], slug: str
) -> None:
    found = ran(lab, done, page, slug)
    ids = found.shown(slug) or ""
    names = offered(found.page.sections[slug])
    assert {"run.json", "run.ipynb", "tables.csv", "tables.parquet"} < names.keys()
    for name in names:
        told = found.handlers.export(slug, ids, name)
        assert set(told) - {"text", "base64"} == {"name", "type"}, told
        assert told["name"].startswith(f"tokenarium-{ids.split(BETWEEN)[0]}")
        if BETWEEN in ids and name in COMPARED and comparable(lab.open(ids.split(BETWEEN)[0])):
            whole = content(told)
            assert all(each in whole for each in ids.split(BETWEEN))
        elif BETWEEN in ids:
            assert len(unzipped(told)) == len(ids.split(BETWEEN))
        elif name in found.page.sections[slug].files:
            table = told["text"].splitlines()
            assert len(table) > 1
            assert "," in table[0]
        assert "nowhere" in found.handlers.export(slug, "nowhere", name)["error"]
    for wrong in ("run.pdf", None, []):
        assert "choose" in found.handlers.export(slug, ids, wrong)["error"]


def content(told: dict[str, str]) -> str:
    """Return the text of a file, or what a ZIP holds as text."""
    if "text" in told:
        return told["text"]
    return "".join(_text(name, each) for name, each in unzipped(told).items())


def _text(name: str, held: bytes) -> str:
    if name.endswith(".parquet"):  # compressed, an id may stand in pieces
        return str(read_table(io.BytesIO(held)).to_pydict())
    return held.decode()


def unzipped(told: dict[str, str]) -> dict[str, bytes]:
    """Return what a ZIP holds, by name."""
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(told["base64"]))) as file:
        return {name: file.read(name) for name in file.namelist()}


@sections
def test_what_cannot_be_done_is_said_in_words(lab: Lab, page: type[RunPage], slug: str) -> None:
    found = visit(lab, page)
    before = dict(found.values)
    last = pressed(found, slug, {"text": "", "max_new_tokens": 3})[-1]
    assert set(last) == {found.handlers.part(found.page.sections[slug], "status")}
    assert 'role="alert"' in found.status(slug)
    assert "Traceback" not in found.status(slug)
    found.boot(f"{slug}=<script>")
    assert "&lt;script&gt;" in found.status(slug)
    assert found.values["sentence"] == before["sentence"]


@pages
def test_what_a_run_will_take_is_said_before_it_and_why_where_it_cannot_run(
    lab: Lab, done: dict[Any, Visit], page: type[RunPage]
) -> None:
    ran(lab, done, page, MAIN)
    found = visit(lab, page)
    said = words(found.cost(**asking(found, SHORT)))
    assert "What Run will take" in said
    assert "Tokens" in said or "tokens" in said
    assert "about" in said  # the time, from the run that was done
    refused = words(found.cost(**asking(found, {"text": "", "max_new_tokens": 3})))
    assert "text" in refused
    assert "will take" not in refused


def _moved(field: dict[str, Any]) -> Any:
    if field["type"] == "check":
        return not field["value"]
    step = 2 * field["step"] if field["name"] in ODD else field["step"]
    return field["value"] - step if field["value"] + step > field["max"] else field["value"] + step
