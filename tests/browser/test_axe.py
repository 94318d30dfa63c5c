"""axe finds nothing serious or moderate on any page and view, wide or narrow, light or dark."""

from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Visit
from tests.browser.page_states import STATES, State, shown
from tokenarium.ui.pages import every_page
from tokenarium.ui.shell.section import RunPage

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
FOUND = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
  .filter(rule => rule.impact !== 'minor')
  .flatMap(rule => rule.nodes.map(node =>
    [rule.id, node.target.join(' '), node.failureSummary.split('\\n').at(-1)].join(' | ')))"""
"""What axe finds with an impact of moderate, serious or critical."""
UNFOLDED = """() => {
  for (const folded of document.querySelectorAll('details')) folded.open = true;
  document.querySelector('.tk-change[aria-expanded=false]')?.click();
  for (const folded of document.querySelectorAll('.label-wrap:not(.open)')) folded.click();
}"""
STILL = "*, ::before, ::after { transition: none !important; animation: none !important; }"
"""On a busy machine a colour is on its way for seconds."""
SETTLED = "new Promise(done => setTimeout(done, 500))"
LOOKS = [(width, dark) for width in (1440, 390) for dark in (False, True)]
UNEXPLAINED = """() => [...document.querySelectorAll('.tk-figure')]
  .filter(figure => figure.offsetParent && figure.querySelector('.main-svg'))
  .map(figure => {
    const cells = [...figure.querySelectorAll('tbody td')].map(cell => cell.textContent);
    return [figure.closest('[id]').id, figure.querySelector('.tk-sub').textContent.trim(),
      figure.querySelector('.tk-frame').getAttribute('aria-label') ?? '',
      cells.some(text => /\\w/.test(text)), !cells.some(text => /undefined|NaN|object/.test(text))];
  }).filter(([name, said, label, numbers, clean]) =>
    !(/\\w{3}.*[.]$/.test(said) && label.length > 10 && numbers && clean))"""
"""Figures without a sentence of what they show, without a name or without their numbers."""
TOP = "query => document.querySelector(query).getBoundingClientRect().top + scrollY"
SETTLED_PAGE = """() => document.querySelector('h1') && ![...document.querySelectorAll(
  '[aria-busy=true], [role=tabpanel] [role=status]')].some(each => each.offsetParent)"""
ACTS = {"Score", "Next byte", "Train", "Extend", "Draw", "Infer", "Compare", "Ask", "Cut", "Swap"}
"""What the buttons of a tab say that make something to look at."""
FIRST = ("sinks", "speculate")
"""Those that are tried each time, in two looks."""


def _declares_views(page: type[Any]) -> bool:
    return issubclass(page, RunPage)


def test_every_page_section_and_view_has_a_state() -> None:
    found = shown()
    for page in every_page():
        assert page.path in found, page.title
        if issubclass(page, RunPage):
            parts = {part.slug for part in (*page.views, *page.beside)}
            assert parts <= found[page.path], page.title


@pytest.mark.parametrize("name", FIRST)
def test_axe_finds_nothing_on_a_page(visit: Visit, name: str) -> None:
    examine(visit, STATES[name], [(390, True), (1440, False)])


@pytest.mark.slow
@pytest.mark.parametrize("name", STATES)
def test_axe_finds_nothing_on_any_page_in_any_look(visit: Visit, name: str) -> None:
    examine(visit, STATES[name], LOOKS)


def examine(visit: Visit, state: State, looks: list[tuple[int, bool]]) -> None:
    """Ask axe about a page with everything unfolded; look for figures without words or numbers."""
    page = visit(state.address, wait=False)
    state.prepare(page)
    folded = {width: top_of(page, state.results, width) for width, _ in looks}
    page.add_style_tag(content=STILL)
    page.evaluate(AXE.read_text("utf-8"))
    assert troubles(page, looks) == {}
    assert folded[390] < 2 * 844, "results within two screens"


@pytest.mark.slow
@pytest.mark.timeout(1800)  # thirteen tabs of Tokens in four looks
@pytest.mark.parametrize("path", [page.path for page in every_page() if not _declares_views(page)])
def test_axe_finds_nothing_in_any_tab_that_a_page_makes_by_itself(visit: Visit, path: str) -> None:
    """Tabs are read from the page, and what they offer to do is done, so none is left out."""
    page = visit(path, wait=False)
    page.wait_for_function(SETTLED_PAGE)
    page.add_style_tag(content=STILL)
    page.evaluate(AXE.read_text("utf-8"))
    tabs = page.get_by_role("tab")
    wrong = {}
    for number in range(tabs.count()):
        page.set_viewport_size({"width": 1440, "height": 844})
        tabs.nth(number).click()
        page.wait_for_function(SETTLED_PAGE)
        offered = page.get_by_role("tabpanel").get_by_role("button")
        for name in {*offered.all_text_contents()} & ACTS:  # an answer makes the buttons anew
            press = page.get_by_role("tabpanel").get_by_role("button", name=name, exact=True).first
            if press.is_enabled():
                press.click()
                page.wait_for_function(SETTLED_PAGE, timeout=120_000)
        if found := troubles(page, LOOKS):
            wrong[tabs.nth(number).text_content()] = found
    assert wrong == {}


def troubles(page: Page, looks: list[tuple[int, bool]]) -> dict[tuple[int, bool], Any]:
    """Return what axe finds, by look, and where something scrolls sideways."""
    page.evaluate(UNFOLDED)
    page.wait_for_timeout(1000)
    assert page.evaluate(UNEXPLAINED) == []
    wrong: dict[tuple[int, bool], Any] = {}
    for width, dark in looks:
        page.set_viewport_size({"width": width, "height": 844})
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
        page.evaluate(SETTLED)
        if found := page.evaluate(FOUND):
            wrong[width, dark] = found
        if not page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
            wrong[width, dark] = [*wrong.get((width, dark), []), "scrolls sideways"]
    return wrong


def top_of(page: Page, query: str, width: int) -> float:
    """Return where something begins in a window of a width."""
    page.set_viewport_size({"width": width, "height": 844})
    page.evaluate(SETTLED)
    found: float = page.evaluate(TOP, query)
    return found
