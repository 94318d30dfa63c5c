"""Edit a token: an edited prompt beside reading it anew; its numbers open what they are."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit


def test_an_edited_prompt_says_what_its_cache_costs_and_how_that_is_known(visit: Visit) -> None:
    page = visit("cache?edit=example-another-password", wait=False)
    rows = page.locator("#table-edit tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.nth(1)).to_contain_text("Spliced, keys turned (PIE)")
    expect(page.locator("#plot-edit_kl .main-svg").first).to_be_visible()
    expect(page.get_by_text("Splicing read")).to_be_visible()
    number = rows.nth(2).locator("button[data-why]").first
    shown = number.inner_text()
    number.click()
    opened = page.get_by_role("dialog", name="Why this number")
    expect(opened).to_contain_text("mean divergence from reading anew")
    expect(opened).to_contain_text("result.kl_nats[2].mean()")
    assert float(shown) > 0.01
