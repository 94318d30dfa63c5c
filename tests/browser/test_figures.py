"""Figures on the page: their numbers as tables, words and numbers that fit, at every width."""

import re
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DRAWN, App, Visit, open_view
from tokenarium.ui.pages.explore import Explore

TITLES = {view.slug: view.title for view in Explore.views}
EXAMPLE = "?run=example-small-model"
OVERLAPS = """host => {
  const boxes = [...document.querySelectorAll(host)].filter(text => text.textContent.trim())
    .map(text => text.getBoundingClientRect());
  return boxes.flatMap((one, at) => boxes.slice(at + 1).filter(other =>
    Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1
    && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 4)).length;
}"""


def numbers(page: Page, name: str) -> list[list[str]]:
    """Open the numbers of a figure and return the first table, heading first."""
    plot = page.locator(f"#plot-{name}")
    plot.locator("summary").focus()
    page.keyboard.press("Enter")
    plot.locator("table").first.wait_for()
    found: list[list[str]] = plot.locator("table").first.evaluate(
        "table => [...table.rows].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return found


def drawn(page: Page, name: str, trace: int = 0) -> Any:
    """Return what Plotly drew, as plain lists."""
    return page.evaluate(
        """([name, at]) => {
      const found = document.querySelector(`#plot-${name} .js-plotly-plot`)._fullData[at];
      const plain = side => side && Array.from(side, part => part?.length > 0
        && typeof part !== 'string' ? Array.from(part) : part);
      return {x: plain(found.x), y: plain(found.y), z: plain(found.z), name: found.name};
    }""",
        [name, trace],
    )


def test_numbers_of_a_grid_are_those_that_are_drawn(visit: Visit) -> None:
    page = visit(f"{EXAMPLE}&view=attention")
    head, *rows = numbers(page, "grid")
    shown = drawn(page, "grid")["z"]
    assert head == ["layer \\ head", *map(str, range(len(shown[0])))]
    assert [row[0] for row in rows] == [str(layer) for layer in range(len(shown))]
    assert np.array([row[1:] for row in rows], float) == pytest.approx(np.array(shown), rel=6e-4)


def test_numbers_of_lines_stand_beside_each_other_with_the_words(visit: Visit) -> None:
    page = visit(f"{EXAMPLE}&view=predictions")
    head, *rows = numbers(page, "predictability")
    assert head == ["token position", "text", "surprisal", "entropy before it"]
    surprisal = drawn(page, "predictability")["y"]
    assert [float(row[2]) for row in rows[1:20]] == pytest.approx(surprisal[1:20], rel=6e-4)
    expect(page.locator("#plot-predictability .tk-turn")).to_contain_text("rows 1 to 60 of 105")
    page.locator("#plot-predictability").get_by_role("button", name="Next rows").click()
    expect(page.locator("#plot-predictability tbody th").first).to_have_text("60")


@pytest.mark.parametrize("slug", ["attention", "predictions", "sinks", "heavy", "heads", "compare"])
def test_every_figure_has_a_sentence_and_a_table(visit: Visit, slug: str) -> None:
    page = visit(EXAMPLE)
    if slug != "attention":
        open_view(page, TITLES[slug])
        page.wait_for_url(re.compile(f"view={slug}"))
        page.wait_for_function(DRAWN)
    empty = page.evaluate(
        """() => [...document.querySelectorAll('.tk-figure')]
      .filter(figure => figure.offsetParent && figure.querySelector('.main-svg'))
      .map(figure => {
        const details = figure.querySelector('details');
        details.open = true;
        details.dispatchEvent(new Event('toggle'));
        const cells = [...figure.querySelectorAll('tbody td')].map(cell => cell.textContent);
        return [figure.querySelector('.tk-frame').getAttribute('aria-label')?.length > 10,
          cells.some(text => /\\d/.test(text)),
          cells.every(text => !/undefined|NaN|object/.test(text)),
          figure.closest('[id]').id];
      }).filter(([...all]) => !all.slice(0, 3).every(Boolean))"""
    )
    assert empty == []


@pytest.mark.parametrize("width", [1440, 800, 390])
def test_words_of_the_lens_never_overlap(visit: Visit, app: App, width: int) -> None:
    page = visit(f"{EXAMPLE}&view=predictions&token=40", wait=False)
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_function(DRAWN)
    page.locator("#plot-lens .heatmap-label").first.wait_for()
    page.wait_for_timeout(500)
    assert page.evaluate(OVERLAPS, "#plot-lens .heatmap-label") == 0
    assert page.evaluate(OVERLAPS, "#plot-lens .ytick text") == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    first, last = page.evaluate(
        "document.querySelector('#plot-lens .js-plotly-plot').layout.xaxis.range"
    )
    assert first < 40 < last


def test_numbers_stand_in_a_grid_only_where_they_fit(visit: Visit) -> None:
    page = visit(f"{EXAMPLE}&view=attention")
    labels = page.locator("#plot-grid .heatmap-label")
    expect(labels).to_have_count(48)
    page.set_viewport_size({"width": 390, "height": 900})
    page.wait_for_timeout(800)
    assert page.evaluate(OVERLAPS, "#plot-grid .heatmap-label") == 0


def test_what_is_gone_is_read_and_what_scrolls_is_reached(visit: Visit) -> None:
    page = visit("cache", wait=False)
    gone = page.locator("#lanes .tk-gone").first
    gone.wait_for()
    for dark in (False, True):
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
        colours = gone.evaluate(
            """span => [getComputedStyle(span).color,
          getComputedStyle(span.parentElement).backgroundColor, getComputedStyle(span).opacity]"""
        )
        assert colours[2] == "1"
        assert contrast(*colours[:2]) >= 4.5
    lanes = page.locator(".tk-lane-strip")
    for place in range(lanes.count()):
        lanes.nth(place).focus()
        expect(lanes.nth(place)).to_be_focused()
        assert lanes.nth(place).get_attribute("aria-label")


def test_rounds_are_one_control(visit: Visit) -> None:
    page = visit("speculate", wait=False)
    rounds = page.locator(".tk-rounds")
    page.locator(".tk-round").first.wait_for()
    assert rounds.locator("button, a, [tabindex]").count() == 0
    page.locator(".tk-round").nth(1).click()
    expect(rounds).to_have_attribute("aria-valuenow", "2")
    expect(rounds).to_have_attribute("aria-valuetext", re.compile(r"round 2: \d+ guesses"))


def contrast(text: str, ground: str) -> float:
    """Return the contrast of two colours, WCAG 2.2."""

    def light(colour: str) -> float:
        parts = np.array(re.findall(r"[\d.]+", colour)[:3], float) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((light(text), light(ground)))
    return (high + 0.05) / (low + 0.05)


def test_views_can_be_opened_one_after_another_with_their_numbers_open(visit: Visit) -> None:
    page = visit(f"{EXAMPLE}&view=attention")
    numbers(page, "grid")
    page.evaluate("window.tokenarium.select({layer: 2, head: 1})")
    open_view(page, "Sinks")
    open_view(page, "Attention")
    expect(page.locator("#plot-grid tbody tr")).to_have_count(8)
