"""What an address opens on every page: a run, a view, what is carried along, or words."""

from typing import Any

from tests.contracts.visits import PAGES, SECTIONS, pages, ran, sections, visit
from tests.ui.browser_stub import Visit
from tests.ui.test_sentence import words
from tokenarium.backend import Lab, ProbeRequest
from tokenarium.ui.pages.race import Race
from tokenarium.ui.shell.drawing import BETWEEN
from tokenarium.ui.shell.section import MAIN, RunPage


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
