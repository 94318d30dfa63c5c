"""What a first visit sees without scrolling, and where it may begin."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DRAWN, SHOWN, Share, Visit, open_controls
from tokenarium.ui.pages.explore import STORIES

BOTTOM = "e => e.getBoundingClientRect().bottom + scrollY"
FIRST = {
    "": ["#sentence", ".tk-stories", "#strip .tk-strip", "#plot-share .tk-plot", "#run"],
    "cache": ["#sentence", ".tk-scrub", ".tk-lanes", "#run", ".tk-change"],
    "speculate": ["#sentence", ".tk-said", ".tk-rounds", ".tk-tree", "#run", ".tk-change"],
}


@pytest.mark.parametrize("path", FIRST)
def test_what_was_found_and_how_to_change_it_are_on_the_first_screen(
    shared: Share, path: str
) -> None:
    page = shared(path)
    page.wait_for_function(SHOWN[path])
    for part in FIRST[path]:
        assert page.locator(part).first.evaluate(BOTTOM) <= 900, part


LINES = """e => { const range = document.createRange(); range.selectNodeContents(e);
  return new Set([...range.getClientRects()].map(line => Math.round(line.top))).size; }"""


@pytest.mark.parametrize("path", FIRST)
def test_what_a_page_is_for_stands_in_one_line(shared: Share, path: str) -> None:
    assert shared(path).locator(".tk-head p").evaluate(LINES) == 1


@pytest.mark.parametrize("path", ["cache", "speculate"])
def test_a_number_and_the_sign_beside_it_look_as_their_sentence(shared: Share, path: str) -> None:
    page = shared(path)
    page.wait_for_function(SHOWN[path])
    found = page.locator(".tk-together").evaluate_all(
        "all => all.map(e => { const [own, around] = [e, e.parentElement].map(getComputedStyle);"
        " return own.color === around.color && own.borderTopWidth === '0px'; })"
    )
    assert found
    assert all(found)


def test_a_card_is_not_wider_than_its_frame(visit: Visit) -> None:
    page = visit("?run=example-first-token&token=0&layer=18&head=8", wait=False)
    page.set_viewport_size({"width": 800, "height": 900})
    expect(page.locator(".tk-row-usual").first).to_contain_text("here")
    page.wait_for_function(
        "[...document.querySelectorAll('.tk-row data')].every(e => e.scrollWidth <= e.clientWidth)"
    )


def test_only_the_sink_glows(page: Page) -> None:
    page.evaluate("window.tokenarium.select({metric: null})")
    glow = page.locator("#strip .tk-token").evaluate_all(
        "all => all.map(e => Number(e.className.match(/tk-l([0-9]+)/)[1]))"
    )
    assert glow[0] == 15
    assert max(glow[1:]) <= 2


def test_the_run_bar_is_one_line_until_it_is_used(visit: Visit) -> None:
    page = visit()
    bar, controls = page.locator(".tk-runbar"), page.locator("#change")
    expect(controls).to_be_hidden()
    assert bar.bounding_box()["height"] < 80
    page.get_by_role("button", name="Change").click()
    expect(controls).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(controls).to_be_hidden()
    page.get_by_role("textbox", name="Text", exact=True).click()
    expect(controls).to_be_visible()
    expect(page.get_by_role("button", name="Close")).to_have_attribute("aria-expanded", "true")
    assert bar.bounding_box()["height"] > 200
    room = "e => parseFloat(getComputedStyle(e).paddingRight)"
    assert page.locator("#model input").evaluate(room) >= 24, "a long name ends before the arrow"


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.title)
def test_a_story_opens_its_run_at_its_place(visit: Visit, story: object) -> None:
    page = visit()
    assert story in STORIES
    page.get_by_role("link", name=re.compile(f"^{story.title}")).click()
    page.wait_for_url(re.compile(re.escape(story.address.removeprefix("./"))))
    path = story.address.split("?")[0].removeprefix("./")
    page.wait_for_function(SHOWN[path])
    asked = dict(pair.split("=") for pair in story.address.split("?")[1].split("&"))
    page.wait_for_function("run => window.tokenarium.state.run === run", arg=asked["run"])
    page.wait_for_function(
        "asked => Object.entries(asked).every(([name, value]) =>"
        " String(window.tokenarium.state[name]) === value)",
        arg=asked,
    )


def test_a_conversation_is_named_in_the_closed_bar(visit: Visit) -> None:
    page = visit("?run=example-two-questions")
    expect(page.locator("#text textarea")).to_be_hidden()
    before = page.locator(".tk-reads").evaluate("e => getComputedStyle(e, '::before').content")
    assert "conversation" in before
    open_controls(page)
    expect(page.get_by_label("Turn 1", exact=True)).to_be_visible()
    page.wait_for_function(DRAWN)
