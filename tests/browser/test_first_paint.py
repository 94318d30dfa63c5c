"""What a visitor sees before doing anything: the stored example, whole, readable and named."""

import sys
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DRAWN, App, Visit, chosen, open_controls, quiet
from tokenarium.backend import Lab

# Contrast of every text against what lies behind it, as WCAG 2 defines it.
CONTRAST = """selector => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = text => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
  const behind = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement)
      layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = c => {
    const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [r, g, b] = c.map(v => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  return [...document.querySelectorAll(selector)]
    .filter(e => e.textContent.trim() && e.offsetParent)
    .map(element => {
      const back = behind(element), front = over(rgba(getComputedStyle(element).color), back);
      const [dark, bright] = [light(back), light(front)].sort((a, b) => a - b);
      return [(bright + .05) / (dark + .05), element.className, element.textContent.slice(0, 30)];
    });
}"""
TEXTS = (
    "#strip .tk-token, .tk-metrics button, .tk-legend span, .tk-readout, .tk-sentence, .tk-sub, "
    ".tk-card-title, .tk-card-part, .tk-card summary, .tk-bars code, .tk-bars data, "
    ".tk-actions button, #run, #cancel, #pill, .tk-head h1, .tk-head p, .tk-figure h2, textarea, "
    "label span"
)
TITLE_COLOUR = "getComputedStyle(document.querySelector('#plot-grid .xtitle')).fill"
UNNAMED = """() => {
  const shown = e => e.getClientRects().length && getComputedStyle(e).visibility !== 'hidden';
  const named = e => e.getAttribute('aria-label') || e.getAttribute('title') || e.textContent.trim()
    || [...(e.labels || [])].some(l => l.textContent.trim());
  return [...document.querySelectorAll('button, input, select, textarea, summary, [role=button]')]
    .filter(e => shown(e) && !named(e)).map(e => e.outerHTML.slice(0, 120));
}"""


def test_the_example_is_drawn_without_asking_python(
    visit: Visit, app: App, record_property: Callable[[str, object], None]
) -> None:
    # Requests to the queue never get an answer, so what is drawn came with the page.
    page = visit("about:blank", wait=False)
    page.route("**/gradio_api/queue/**", lambda _: None)
    started = time.perf_counter()
    page.goto(app.url)
    page.wait_for_function(DRAWN)
    seconds = time.perf_counter() - started
    record_property("first_paint_s", round(seconds, 2))
    sys.stderr.write(f"first paint: {seconds:.1f} s\n")
    state = chosen(page)
    assert state["run"] == state["example"]
    expect(page.locator("#strip .tk-token")).to_have_count(state["tokens"])
    expect(page.locator("#sentence")).to_contain_text(
        f"of {state['layers'] * state['heads']} heads"
    )
    expect(page.locator("#card")).to_contain_text(f"token 0 of {state['tokens']}")


def test_every_text_can_be_read_in_light_and_dark(visit: Visit) -> None:
    page = visit("", color_scheme="light")
    page.add_style_tag(content="* { transition: none !important; }")
    # Whatever this run holds, every level of the colour scale is looked at.
    page.evaluate(
        "document.querySelectorAll('#strip .tk-token').forEach("
        "(e, i) => { e.className = i < 16 ? `tk-token tk-l${i}` : 'tk-token tk-none'; })"
    )
    ink = _title_colour(page)
    assert unreadable(page) == []
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(page.locator("body.dark")).to_have_count(1)
    page.wait_for_function(f"before => {TITLE_COLOUR} !== before", arg=ink)
    assert unreadable(page) == []
    quiet(page)
    page.reload()
    page.wait_for_function(DRAWN)
    expect(page.locator("body.dark")).to_have_count(1)
    page.wait_for_function(f"before => {TITLE_COLOUR} !== before", arg=ink)


def test_a_dark_link_opens_dark_whatever_was_kept(visit: Visit, app: App) -> None:
    page = visit("gradio_api/startup-events", wait=False, color_scheme="light")
    page.evaluate("localStorage.setItem('tokenarium_theme', 'light')")
    page.goto(f"{app.url}/?__theme=dark")
    page.wait_for_function(DRAWN)
    expect(page.locator("body.dark")).to_have_count(1)


@pytest.mark.parametrize("width", [1440, 800, 390])
def test_nothing_is_cut_off_at_the_side(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    # Figures follow the width a moment later.
    page.wait_for_function(
        "document.documentElement.scrollWidth <= innerWidth"
        " && [...document.querySelectorAll('.tk-strip, .tk-card, .tk-plot, #run, textarea')]"
        ".every(e => e.getBoundingClientRect().right <= innerWidth + 1)"
    )


def test_everything_has_a_role_and_a_name(page: Page) -> None:
    open_controls(page)
    page.get_by_role("button", name="Options and stored runs").click()
    expect(page.get_by_label("Open a stored run")).to_be_visible()
    strip = page.get_by_role("listbox", name="Tokens of the text")
    expect(strip.get_by_role("option")).to_have_count(chosen(page)["tokens"])
    expect(strip).to_have_attribute("aria-activedescendant", "tk-token-0")
    metrics = page.get_by_role("radiogroup", name="Colour tokens by").get_by_role("radio")
    assert metrics.count() == 5
    page.get_by_role("button", name="More", exact=True).click()
    assert metrics.count() > 10
    assert metrics.and_(page.locator("[aria-checked=true]")).count() == 1
    page.get_by_role("button", name="Fewer", exact=True).click()
    assert metrics.count() == 5
    frames = page.locator(".tk-frame[role=group]")
    assert frames.count() == 4
    assert all(frame.get_attribute("aria-label") for frame in frames.all())
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.evaluate(UNNAMED) == []


def test_no_chart_can_be_uploaded(page: Page) -> None:
    titles = page.locator(".modebar-btn").evaluate_all(
        "all => all.map(e => e.getAttribute('data-title') || e.getAttribute('aria-label'))"
    )
    assert titles
    assert not [title for title in titles if "hare" in title or "loud" in title]


def test_only_named_endpoints_are_offered(app: App) -> None:
    offered = app.get("gradio_api/info")
    # Other tests declare kinds of their own, in this process only.
    kinds = [kind for kind in Lab.kinds() if kind.result.startswith("tokenarium.backend.")]
    names = {f"/{kind.endpoint}" for kind in kinds} | {"/run"}
    assert set(offered["named_endpoints"]) == names
    assert offered["unnamed_endpoints"] == {}


def unreadable(page: Page) -> list[object]:
    """Return every text of too little contrast (AA, 4.5 to 1)."""
    found: list[list[object]] = page.evaluate(CONTRAST, TEXTS)
    assert len(found) > 100
    return [entry for entry in found if float(str(entry[0])) < 4.5]


def _title_colour(page: Page) -> str:
    page.locator("#plot-grid .xtitle").first.wait_for(state="attached")
    return str(page.evaluate(TITLE_COLOUR))
