"""A recipe on the Cache page: chosen, its bytes said before Run, run as one lane more."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, chosen, finished, open_controls


def run_recipe(page: Page) -> None:
    """Let 4 bits follow SnapKV, beside the example's policies."""
    before = chosen(page)["run"]
    open_controls(page)
    page.get_by_role("button", name="Options and stored runs").click()
    page.locator("#recipe-then input").click()
    page.get_by_role("option", name="Quantised cache").click()
    page.keyboard.press("Escape")
    expect(page.locator("#cost")).to_contain_text("SnapKV, then 4 bits")
    page.get_by_label("New tokens").first.fill("12")
    page.keyboard.press("Tab")
    page.locator("#run").click()
    finished(page, before)


def test_a_recipe_runs_as_one_lane_more(visit: Visit) -> None:
    page = visit("cache", wait=False)
    expect(page.locator(".tk-lane")).to_have_count(5)
    run_recipe(page)
    expect(page.locator(".tk-lane")).to_have_count(6)
    expect(page.locator(".tk-lane").last).to_contain_text("SnapKV, then 4 bits")
    expect(page.locator("#table-cache tbody tr").last).to_contain_text("evict, quantise")
    page.locator("#place-policy").select_option("snapkv+kv_quant")
    expect(page.locator("#plot-cache_map .legendtext")).to_have_text("left of it: 4 bits")
