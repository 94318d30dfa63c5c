"""The Compare page: opened by its address or from a run, one selection in text, figures, table."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, chosen

BESIDE = "compare?runs=example-one-wrong-word,example-said-twice"


def opened(visit: Visit, address: str) -> Page:
    page = visit(address, wait=False)
    page.wait_for_function(
        "document.querySelectorAll('#compare .js-plotly-plot .main-svg').length > 3"
    )
    return page


def selected(page: Page) -> int:
    found = page.locator(".tk-place-stack[data-selected]")
    expect(found).to_have_count(1)
    return int(found.get_attribute("data-place") or -1)


def test_one_selection_goes_through_text_table_figures_and_the_address(visit: Visit) -> None:
    page = opened(visit, BESIDE)
    expect(page.locator(".tk-compare-said")).to_contain_text("differ most in surprisal")
    first = selected(page)
    row = page.locator("#compare tr.tk-selected")
    expect(row).to_contain_text(str(first))

    page.locator("#compare table [data-select]").nth(1).click()
    second = selected(page)
    assert second != first
    assert f"token={second}" in page.url
    assert page.locator("#compare .tk-selected-x:not([hidden])").count() == 2

    page.locator(".tk-compare-text").focus()
    page.keyboard.press("ArrowRight" if second == 0 else "ArrowLeft")
    third = selected(page)
    assert abs(third - second) == 1

    page.get_by_label("Measure").select_option("entropy_nats")
    expect(page.locator(".tk-compare-said")).to_contain_text("in entropy")
    assert "metric=entropy_nats" in page.url
    assert chosen(page)["token"] == third
    page.go_back()
    expect(page.locator(".tk-compare-said")).to_contain_text("in surprisal")

    page.reload()
    page.wait_for_selector(".tk-place-stack[data-selected]")
    assert selected(page) == third


def test_a_run_chooses_its_counterpart_and_what_does_not_fit_is_refused(visit: Visit) -> None:
    page = visit("?run=example-said-twice")
    page.locator("[data-do=save]").click()
    page.get_by_role("menuitem", name="Compare with…").click()
    page.wait_for_url("**/compare?runs=example-said-twice")
    expect(page.locator(".tk-compare-said")).to_contain_text("Choose another of its kind")
    page.get_by_label("Compare with").select_option("example-one-wrong-word")
    page.wait_for_url("**/compare?runs=example-said-twice,example-one-wrong-word")
    expect(page.locator(".tk-compare-said")).to_contain_text("aligned")

    page = visit("compare?runs=example-said-twice,example-what-is-kept", wait=False)
    expect(page.locator(".tk-compare-said [role=alert]")).to_contain_text("runs of one kind")
    # What can be compared goes on from the first run that opens.
    page.get_by_label("Compare with").select_option("example-one-wrong-word")
    page.wait_for_url("**/compare?runs=example-said-twice,example-one-wrong-word")
    expect(page.locator(".tk-compare-said")).to_contain_text("aligned")


def test_figures_are_saved_and_the_theme_goes_with_the_visitor(visit: Visit) -> None:
    page = opened(visit, BESIDE)
    page.get_by_role("button", name="Save All runs").click()
    with page.expect_download() as saved:
        page.get_by_role("menuitem", name="Table of what is drawn (CSV)").click()
    assert saved.value.suggested_filename.endswith(".csv")
    dark = "document.body.classList.contains('dark')"
    before = page.evaluate(dark)
    page.locator("[data-do=theme]").click()
    page.get_by_role("link", name="Learn", exact=True).click()
    page.wait_for_selector("[data-lesson]")
    page.wait_for_function(f"{dark} !== {str(before).lower()}")
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
