"""A run's file, opened from disk by a browser that has no network: its views follow each other."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.conftest import FLAGS, STEP_MS
from tests.labs import shipped_lab
from tokenarium.backend import Lab, Run, TraceResult


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


@pytest.fixture(scope="module")
def run(lab: Lab) -> Run:
    return lab.open("example-small-model")


@contextmanager
def opened_file(path: Path, chromium: str) -> Iterator[Page]:
    """Yield a file as opened; a page that logs an error or asks for anything fails."""
    asked: list[str] = []
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_context(offline=True).new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", timeout=STEP_MS)
        yield page
        browser.close()
    assert asked == [path.as_uri()]
    assert not errors


@pytest.fixture
def opened(run: Run, chromium: str, tmp_path: Path) -> Iterator[Page]:
    path = run.save(tmp_path / "run.html", views=["strip", "card", "heads", "attention"])
    with opened_file(path, chromium) as page:
        page.locator("#plot-map .main-svg").first.wait_for()
        yield page


def test_views_of_the_file_follow_each_other(opened: Page, run: Run) -> None:
    result = run.result
    assert isinstance(result, TraceResult)
    opened.click("#tk-token-7")
    expect(opened.locator("#card .tk-sub").first).to_contain_text("token 7 of")
    opened.keyboard.press("ArrowRight")
    expect(opened.locator("#card .tk-sub").first).to_contain_text("token 8 of")
    opened.evaluate("window.tokenarium.select({layer: 1, head: 2})")
    received = f"{result.received_mass[1, 2, 8]:.4g}"
    last = opened.locator("#card .tk-parts > div").last
    expect(last.locator("h3")).to_have_text("In layer 1, head 2")
    expect(last.locator("data").first).to_contain_text(received)
    label = re.compile("layer 1, head 2")
    expect(opened.locator("#plot-map .tk-frame")).to_have_attribute("aria-label", label)
    drawn = opened.evaluate("document.querySelector('#plot-map .js-plotly-plot').data[0].zmax")
    seen = result.attention_tiles_mean[1, 2]
    assert 0 < drawn <= float(seen[seen == seen].max())
    opened.get_by_role("radio", name="entropy", exact=True).click()
    expect(opened.locator("#strip .tk-readout")).to_contain_text("entropy")


def test_a_race_and_its_comparison_are_one_file(lab: Lab, chromium: str, tmp_path: Path) -> None:
    found = lab.compare(["example-said-before", "example-half-a-model"])
    path = found.save(tmp_path / "race.html")
    with opened_file(path, chromium) as page:
        expect(page.locator(".tk-racer")).to_have_count(3)
        expect(page.locator(".tk-compare-said")).to_contain_text("differ most in accepted guesses")
        page.locator("#compare-places .main-svg").first.wait_for()
        page.get_by_label("Measure").select_option("drafted")
        expect(page.locator(".tk-compare-said")).to_contain_text("in drafted tokens")
        before = page.locator(".tk-place-stack[data-selected]").get_attribute("data-place")
        page.locator(".tk-compare-text").press("ArrowRight")
        stack = page.locator(".tk-place-stack[data-selected]")
        assert int(stack.get_attribute("data-place") or -1) == int(before or 0) + 1
        page.get_by_label("Time of the race").fill("0")
        expect(page.locator(".tk-racer .tk-sub").first).to_contain_text("0 tokens")
        page.set_viewport_size({"width": 390, "height": 800})
        expect(page.locator("html")).to_have_js_property("scrollWidth", 390)
