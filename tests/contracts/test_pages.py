"""Every page opens, runs, cancels with words, reopens, saves, and says its errors."""

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.ui.browser_stub import Visit
from tests.ui.test_sentence import words
from tokenarium.backend import Lab, ProbeRequest, Settings, UserError
from tokenarium.ui.page import build
from tokenarium.ui.pages import find_pages
from tokenarium.ui.pages.race import Race
from tokenarium.ui.shell.drawing import BETWEEN
from tokenarium.ui.shell.following import CANCELLED
from tokenarium.ui.shell.handlers import NOTHING_RUNS
from tokenarium.ui.shell.saving import offered
from tokenarium.ui.shell.section import MAIN, RunPage

PAGES = find_pages()
SECTIONS = [(page, slug) for page in PAGES for slug in (MAIN, *(s.slug for s in page.beside))]
SHORT = {
    "text": "The old king saw it.",
    "patch_other": "The young queen saw it!",
    "max_new_tokens": 3,
}
LONG = {
    "text": "The old king saw it, and went on. " * 60,
    "patch_other": "The young queen saw it, and went on. " * 60 + "She",
    "max_new_tokens": 400,
}
LARGEST_BYTES = 264_000
ODD = ("kernel",)
"""Parameters that are odd numbers only."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(Settings(database="duckdb:///:memory:", device="cpu", hosted=False)) as made:
        yield made


def visit(lab: Lab, page: type[RunPage]) -> Visit:
    return Visit(lab, page)


def asking(page: Visit, values: dict[str, Any]) -> dict[str, Any]:
    """Return those of the values for which the page has a control."""
    return {name: v for name, v in values.items() if name in page.layout.controls.parts}


def pressed(page: Visit, slug: str, values: dict[str, Any] = SHORT) -> list[dict[str, Any]]:
    return page.run(slug, **asking(page, values))


pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.title)
sections = pytest.mark.parametrize(
    ("page", "slug"), SECTIONS, ids=[f"{page.title}-{slug}" for page, slug in SECTIONS]
)


@pytest.fixture(scope="module")
def done(lab: Lab) -> dict[tuple[type[RunPage], str], Visit]:
    """A visit of every page on which a section was run, made when it is asked for."""
    return {}


def ran(lab: Lab, done: dict[Any, Visit], page: type[RunPage], slug: str) -> Visit:
    if (page, slug) not in done:
        done[page, slug] = visit(lab, page)
        pressed(done[page, slug], slug)
    return done[page, slug]


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


@sections
def test_shipped_runs_of_a_section_open_at_the_address_of_their_link(
    lab: Lab, page: type[RunPage], slug: str
) -> None:
    offered = visit(lab, page).page.sections[slug].offered_runs()
    assert offered
    for _, ids in offered:
        found = visit(lab, page)
        found.boot(f"{slug}={ids}")
        assert found.status(slug) == ""
        assert found.shown(slug) == ids
        for panel in found.page.sections[slug].shown:
            assert any(found.values[name] for name in panel.parts) or not panel.parts


def test_a_shipped_race_is_of_one_prompt_and_somebody_wins(lab: Lab) -> None:
    ((_, ids),) = Race(lab).offered_runs()
    results = [lab.open(run_id).result for run_id in ids.split(BETWEEN)]
    assert len({result.prompt for result in results}) == 1
    fast, slow = (result.tokens_per_s / result.plain_tokens_per_s for result in results)
    assert fast > 1 > slow


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


@sections
def test_a_stored_run_opens_at_its_address_as_it_was_shown(
    lab: Lab, done: dict[Any, Visit], page: type[RunPage], slug: str
) -> None:
    before = ran(lab, done, page, slug)
    again = visit(lab, page)
    again.boot(f"{slug}={before.shown(slug)}")
    assert again.shown(slug) == before.shown(slug)
    for panel in again.page.sections[slug].shown:
        for name in panel.parts:
            assert again.values[name] == before.values[name]
    asked = before.page.sections[slug].requests(again.asked())
    if slug == MAIN:
        assert [lab.open(before.shown() or "").request] == list(asked)


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
                (wanted,) = fresh.page.requests(fresh.asked())
                (usual,) = found.page.requests(found.asked())
                assert wanted != usual
                back = visit(lab, page)
                back.take(back.page.filled(wanted))
                assert list(back.page.requests(back.asked())) == [wanted], field["name"]


@sections
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
        if BETWEEN in ids:
            assert len(unzipped(told)) == len(ids.split(BETWEEN))
        elif name in found.page.sections[slug].files:
            table = told["text"].splitlines()
            assert len(table) > 1
            assert "," in table[0]
        assert "nowhere" in found.handlers.export(slug, "nowhere", name)["error"]
    for wrong in ("run.pdf", None, []):
        assert "choose" in found.handlers.export(slug, ids, wrong)["error"]


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
def test_a_run_of_another_kind_is_refused_in_words(lab: Lab, page: type[RunPage]) -> None:
    others = [each for each in PAGES if each is not page]
    for each in others:
        run_id = lab.examples(each.kinds[0].kind)[0].run_id
        found = visit(lab, page)
        found.open(run_id)
        assert f"not a {page.kinds[0].kind}" in words(found.status())


def opened_at(lab: Lab, page: type[RunPage], query: str) -> dict[str, Any]:
    """Return the last message to the browser of a page that opens at an address."""
    found = visit(lab, page)
    asker = found.asker()
    (told,) = found.handlers.boot(query, None, asker)
    message: dict[str, Any] = told.get("selection", {})
    return message


@sections
def test_an_address_with_a_run_of_another_kind_leads_to_where_it_is_shown(
    lab: Lab, done: dict[Any, Visit], page: type[RunPage], slug: str
) -> None:
    ids = ran(lab, done, page, slug).shown(slug)
    shown = visit(lab, page).page.sections[slug].kinds
    for other, wrong in SECTIONS:
        kinds = visit(lab, other).page.sections[wrong].kinds
        message = opened_at(lab, other, f"{wrong}={ids}")
        if shown[0] in kinds:
            assert message["why"] == "boot"
            continue
        assert message["why"] == "moved"
        path, query = message["to"].split("?")
        (home,) = (each for each in PAGES if (each.path or "./") == path)
        assert opened_at(lab, home, query)["why"] == "boot"


def test_a_run_that_no_page_shows_is_refused_in_words_at_every_address(lab: Lab) -> None:
    run = lab.run(lab.request(ProbeRequest, model="bundled/draft", period=16))
    for page in PAGES:
        found = visit(lab, page)
        found.boot(f"run={run.id}")
        assert f"not a {page.kinds[0].kind}" in words(found.status())


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


@pages
def test_text_and_model_go_along_where_the_address_names_no_run(
    lab: Lab, page: type[RunPage]
) -> None:
    carried = {"text": "Carried along.", "model": "bundled/draft"}
    found = visit(lab, page)
    found.boot("", carried)
    assert (found.values["text"], found.values["model"]) == ("Carried along.", "bundled/draft")
    named = visit(lab, page)
    named.boot(f"run={named.shown()}", carried)
    assert named.values["text"] != "Carried along."
    gone = visit(lab, page)
    gone.boot("run=nowhere", carried)
    assert gone.values["text"] == named.values["text"]
    for nonsense in ("x", {"text": 3, "model": None}, [], {"text": ""}):
        untouched = visit(lab, page)
        untouched.boot("", nonsense)
        assert untouched.values["text"] == named.values["text"]


@pages
def test_an_address_without_a_run_changes_nothing_but_the_view(
    lab: Lab, page: type[RunPage]
) -> None:
    found = visit(lab, page)
    before = dict(found.values)
    for told in found.handlers.boot("token=3&layer=1&unknown=x&view=nothing", None, found.asker()):
        assert told.pop("selection") == {"shown": True, "why": "arrived", "section": "run"}
        assert told == {}
    assert found.values == before


def _moved(field: dict[str, Any]) -> Any:
    if field["type"] == "check":
        return not field["value"]
    step = 2 * field["step"] if field["name"] in ODD else field["step"]
    return field["value"] - step if field["value"] + step > field["max"] else field["value"] + step
