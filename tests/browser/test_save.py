"""What leaves the page: the menu by mouse and keyboard."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SHOWN, Visit, chosen

ASKED = """performance.getEntriesByType('resource')
  .filter(entry => entry.name.includes('component_server')).length"""
"""How often files were asked for."""
FOCUS = "document.activeElement.textContent"


@pytest.fixture(autouse=True)
def _closed(page: Page) -> None:
    page.keyboard.press("Escape")


def test_the_menu_is_used_by_the_keyboard_alone(page: Page) -> None:
    button = page.get_by_role("button", name="Save", exact=True)
    before = chosen(page)
    button.focus()
    page.keyboard.press("ArrowDown")
    items = page.get_by_role("menuitem").all_inner_texts()
    assert len(items) > 5
    assert page.evaluate(FOCUS) == items[0]
    page.keyboard.press("ArrowDown")
    assert page.evaluate(FOCUS) == items[1]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(FOCUS) == items[-1]
    page.keyboard.press("Home")
    assert page.evaluate(FOCUS) == items[0]
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(button).to_be_focused()
    assert chosen(page) == before, "the arrows of the menu are not the page's"
    page.keyboard.press("Enter")
    with page.expect_download() as started:
        page.keyboard.press("Enter")
    assert started.value.suggested_filename.endswith("-tokens.csv")
    expect(button).to_be_focused()


@pytest.mark.parametrize("path", ["cache", "speculate"])
def test_every_section_in_sight_can_be_saved_on_a_narrow_page(visit: Visit, path: str) -> None:
    page = visit(path, wait=False)
    page.set_viewport_size({"width": 390, "height": 700})
    page.wait_for_function(SHOWN[path])
    before = page.evaluate(ASKED)
    page.get_by_role("button", name="Save", exact=True).click()
    box = page.get_by_role("menu").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert box["y"] + box["height"] <= 700
    assert page.evaluate(ASKED) == before, "nothing is made before it is chosen"
    with page.expect_download() as started:
        page.get_by_role("menuitem", name="Notebook that computes it again").click()
    assert json.loads(Path(started.value.path()).read_text("utf-8"))["nbformat"] == 4
    page.get_by_role("button", name="Save", exact=True).click()
    page.mouse.click(5, 690)
    expect(page.get_by_role("menu")).to_have_count(0)
