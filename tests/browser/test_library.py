"""The Library in a browser: search, tag, pin, delete, open, and SQL with a plot."""

import csv
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import App, drawn_after, run_text

Visit = Callable[..., Page]
LIST = "document.querySelectorAll('#library tr[data-run]').length"


@pytest.fixture
def library(visit: Visit) -> Page:
    """The Library, in which one run is of the visitor's own."""
    page = visit()
    run_text(page, "A heron stood in the reeds and waited.")
    page.get_by_role("link", name="Library").click()
    page.wait_for_function(f"{LIST} > 1")
    return page


def test_run_is_found_tagged_pinned_opened_and_deleted(library: Page) -> None:
    page, said = library, library.locator(".tk-lib-said")
    page.get_by_label("Text or note").fill("heron")
    page.wait_for_function(f"{LIST} === 1")
    assert "text=heron" in page.url
    row = page.locator("tr[data-run]")
    row.locator("summary").press("Enter")
    row.locator("[data-input=tag]").fill("birds")
    row.locator("[data-input=tag]").press("Enter")
    expect(said).to_have_text("Tags: birds.")
    expect(page.locator("select[name=tag] option")).to_contain_text(["any", "birds (1)"])
    row.locator("[data-input=note]").fill("It waits.")
    row.get_by_role("button", name="Save note").click()
    expect(row.locator(".tk-lib-note")).to_have_text("It waits.")
    row.get_by_role("button", name="Pin", exact=True).click()
    expect(row.get_by_role("button", name="Unpin")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function(f"{LIST} > 1")
    row = page.locator("tr[data-run]", has_text="heron")
    row.get_by_role("button", name="birds", exact=True).click()
    page.wait_for_function(f"{LIST} === 1")
    page.go_back()
    page.wait_for_function(f"{LIST} > 1")
    expect(page.locator("select[name=tag]")).to_have_value("")
    page.go_forward()
    page.wait_for_function(f"{LIST} === 1")
    page.reload()
    page.wait_for_function(f"{LIST} === 1")
    page.get_by_role("link", name="A heron").click()
    drawn_after(page, "() => window.tokenarium?.state.run && !location.pathname.includes('lib')")
    expect(page.locator("#text textarea")).to_have_value(re.compile("heron"))
    page.go_back()
    page.wait_for_function(f"{LIST} === 1")
    page.locator("tr[data-run] summary").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("button", name="Keep")).to_be_focused()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator(".tk-lib-empty")).to_contain_text("No stored run fulfils")


@pytest.mark.parametrize(
    ("address", "stands"),
    [
        ("library?kind=trace", "#library tr[data-run]"),
        ("learn?class=ABCDEF", ".tk-lesson-card"),
        ("audit?of=example-said-before", "#audit-said .tk-sentence, #audit-go"),
    ],
)
def test_a_page_whose_address_says_something_hears_at_once(
    visit: Visit, address: str, stands: str
) -> None:
    page = visit(address, wait=False)
    page.locator(stands).first.wait_for()
    page.evaluate("setTimeout(() => { window.late = true; }, 4000)")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("menuitem").first).to_be_visible()
    assert not page.evaluate("window.late ?? false")


def test_query_is_answered_drawn_saved_and_refused_in_words(visit: Visit, app: App) -> None:
    page = visit("library", wait=False)
    page.wait_for_function(f"{LIST} > 1")
    page.get_by_label("Examples").select_option("The ten strongest sinks of all runs")
    expect(page.locator("#query tbody tr")).to_have_count(10)
    page.wait_for_function("document.querySelector('#plot-query .cartesianlayer .point')")
    page.locator("#query").get_by_label("Plot").select_option("points")
    page.wait_for_function(
        "document.querySelector('#plot-query .js-plotly-plot').data[0].type === 'scatter'"
    )
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV").first.click()
    with saved.value.path().open(newline="") as file:
        assert len(list(csv.reader(file))) == 11
    page.locator("#query tbody [data-why]").first.click()
    why = page.locator(".tk-source")
    expect(why).to_contain_text("columns[")
    expect(why).to_contain_text("lab.query(")
    page.keyboard.press("Escape")
    page.locator("#library [data-why^=took]").first.click()
    expect(why).to_contain_text("time of computing")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Save", exact=True).click()
    with page.expect_download() as listed:
        page.get_by_role("menuitem", name="The list, as it is filtered (CSV)").click()
    with listed.value.path().open(newline="") as file:
        # All that the filters leave, of which a page shows some.
        found = re.search(r"([\d,]+) runs?$", page.locator("#library .tk-lib-count").inner_text())
        assert found
        assert len(list(csv.reader(file))) == 1 + int(found[1].replace(",", ""))
    for attack in ("COPY runs TO 'x.csv'", "SELECT * FROM read_csv('/etc/passwd')"):
        page.locator("#sql").fill(attack)
        page.locator("#sql").press("Control+Enter")
        expect(page.locator("#query [role=alert]")).to_contain_text("allowed")
    expect(page.locator("#query .tk-table")).to_be_hidden()
    expect(page.locator("#plot-query .tk-plot")).to_be_hidden()
    assert "Traceback" not in app.log.read_text()


def test_the_page_has_room_at_every_width(visit: Visit) -> None:
    page = visit("library", wait=False)
    page.wait_for_function(f"{LIST} > 1")
    for width in (1440, 800, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_what_is_stored_is_a_table_with_bars(visit: Visit) -> None:
    page = visit("library", wait=False)
    page.locator(".tk-lib-held summary").press("Enter")
    expect(page.locator(".tk-lib-kinds")).to_be_visible()
    bars = page.locator(".tk-lib-share b").evaluate_all(
        "all => all.map(bar => [bar.offsetWidth, bar.offsetHeight])"
    )
    assert all(height > 5 for _, height in bars)
    assert max(bars)[0] > 70, "traces have most of the arrays"
