"""axe finds nothing serious or moderate on any page and view, wide or narrow, light or dark."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DRAWN, Visit, open_controls

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
Prepare = Callable[[Page], None]


def explored(page: Page) -> None:
    page.wait_for_function(DRAWN)


def chat_and_error(page: Page) -> None:
    explored(page)
    open_controls(page)
    page.get_by_role("radio", name="Chat").click()
    page.get_by_role("button", name="Add a turn").click()
    page.locator("#turns textarea").first.fill("")
    page.locator("#turns textarea").last.fill("")
    page.locator("#run").click()
    expect(page.locator("#status [role=alert]")).to_be_visible()


def measured(page: Page) -> None:
    explored(page)
    page.locator("#beat").click()
    page.locator("#plot-heartbeat .main-svg").first.wait_for()


def probed(page: Page) -> None:
    explored(page)
    page.locator("#probe").click()
    expect(page.locator("#plot-scatter .xtitle")).to_contain_text("echo score")


def changed(page: Page) -> None:
    explored(page)
    page.get_by_role("button", name="Read again with the change").click()
    expect(page.locator("#intervene-said")).to_contain_text("the loss over")
    explored(page)


def lanes(page: Page) -> None:
    expect(page.locator(".tk-lane")).to_have_count(5)
    page.locator("#plot-cache_map .main-svg").first.wait_for()


def swept(page: Page) -> None:
    lanes(page)
    expect(page.locator("#sweep-sentence")).to_contain_text("points measured")


def guessed(page: Page) -> None:
    page.locator(".tk-tree .tk-node").first.wait_for()
    page.locator("#plot-by_depth .main-svg").first.wait_for()


def raced(page: Page) -> None:
    guessed(page)
    page.locator("#race .tk-racer").first.wait_for()


@dataclass(frozen=True)
class State:
    """A page in a state of its own, and where its results begin."""

    address: str
    prepare: Prepare
    results: str = "#sentence"


def languages(page: Page) -> None:
    page.wait_for_selector(".tk-cuts-languages table")
    page.locator(".tk-cut").first.click()


def next_byte(page: Page) -> None:
    page.wait_for_selector("#cuts-panel form")
    page.get_by_role("tabpanel").get_by_label("Model", exact=True).select_option("bundled/target")
    page.get_by_role("button", name="Next byte").click()
    page.wait_for_selector(".tk-cuts-bars")


SMALL = "?run=example-small-model&view="
STATES = {
    "attention": State(f"{SMALL}attention", explored),
    "chat": State(f"{SMALL}follow", chat_and_error),
    "predictions": State(f"{SMALL}predictions", explored),
    "sinks": State(f"{SMALL}sinks&token=1", explored),
    "heavy": State(f"{SMALL}heavy", explored),
    "heartbeat": State(f"{SMALL}heartbeat", measured),
    "heads": State(f"{SMALL}heads", probed),
    "intervene": State(f"{SMALL}intervene", changed),
    "compare": State(f"{SMALL}compare", explored),
    "pixels": State(f"{SMALL}attention&density=pixel&unit=word", explored),
    "cache": State("cache", lanes),
    "trade-off": State("cache?sweep=example-a-hidden-number", swept),
    "speculate": State("speculate", guessed),
    "race": State("speculate?race=example-guessed-ahead.example-said-before", raced),
    "usual heads": State(
        "heads?layer=3&head=5",
        lambda page: page.wait_for_selector(".tk-usual-list table"),
        "#usual-heads",
    ),
    "tokens": State("tokens", languages, "#cuts .tk-cut-strip"),
    "next byte": State("tokens?view=byte", next_byte, "#cuts .tk-cut-strip"),
    "endpoints": State("endpoints", lambda page: None, "h1"),
}
FIRST = ("sinks", "speculate")
"""Those that are tried each time, in two looks."""


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
    page.evaluate(UNFOLDED)
    page.add_style_tag(content=STILL)
    page.evaluate(AXE.read_text("utf-8"))
    page.wait_for_timeout(1000)
    assert page.evaluate(UNEXPLAINED) == []
    wrong: dict[tuple[int, bool], Any] = {}
    for width, dark in looks:
        page.set_viewport_size({"width": width, "height": 844})
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
        page.evaluate(SETTLED)
        if found := page.evaluate(FOUND):
            wrong[width, dark] = found
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    assert wrong == {}
    assert folded[390] < 2 * 844, "results within two screens"


def top_of(page: Page, query: str, width: int) -> float:
    """Return where something begins in a window of a width."""
    page.set_viewport_size({"width": width, "height": 844})
    page.evaluate(SETTLED)
    found: float = page.evaluate(TOP, query)
    return found
