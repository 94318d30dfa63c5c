"""The Cache page: four policies run, every decision is replayed without asking Python."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DRAWN, Visit, Watch

GONE = "document.querySelectorAll('.tk-lane')[{lane}].querySelectorAll('.tk-gone').length"


@pytest.fixture
def cache(visit: Visit) -> Page:
    """A page on which the usual four policies have run for a few tokens."""
    page = visit()
    page.get_by_role("tab", name="Cache", exact=True).click()
    page.get_by_label("New tokens").first.fill("12")
    page.keyboard.press("Tab")
    page.locator("#cache-run").click()
    expect(page.locator(".tk-lane")).to_have_count(4)
    expect(page.locator("#table-cache tbody tr")).to_have_count(4)
    expect(page.locator(".tk-scrub output")).to_have_text("step 12 of 12")
    page.wait_for_function(DRAWN)
    return page


def test_policies_run_and_are_replayed_in_the_browser(cache: Page, watch: Watch) -> None:
    page = cache
    full, others = page.evaluate(GONE.format(lane=0)), page.evaluate(GONE.format(lane=3))
    assert full == 0
    assert others > 0
    expect(page.locator("#table-cache tbody tr").first).to_contain_text("100%")
    page.wait_for_timeout(1500)
    asked = watch.asked()
    scrub = page.get_by_label("Decode step")
    scrub.fill("3")
    expect(page.locator(".tk-scrub output")).to_have_text("step 3 of 12")
    assert page.evaluate(GONE.format(lane=3)) < others
    page.get_by_role("button", name="Play").click()
    expect(page.locator(".tk-scrub output")).to_have_text("step 12 of 12")
    assert page.evaluate(GONE.format(lane=3)) == others
    assert watch.asked() == asked


def test_another_layer_is_shown_from_the_stored_run(cache: Page) -> None:
    page = cache
    frame = page.locator("#plot-cache_map .tk-frame")
    expect(frame).to_have_attribute("aria-label", re.compile("in layer 0, KV head 0"))
    page.locator("#cache-layer input[type=number]").fill("5")
    page.keyboard.press("Tab")
    expect(frame).to_have_attribute("aria-label", re.compile("in layer 5, KV head 0"))


def test_a_budget_that_cannot_be_is_said(visit: Visit) -> None:
    page = visit()
    page.get_by_role("tab", name="Cache", exact=True).click()
    page.locator("#budget input").fill("2")
    page.keyboard.press("Tab")
    page.locator("#cache-run").click()
    expect(page.locator("#cache-status [role=alert]")).to_contain_text("budget")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
