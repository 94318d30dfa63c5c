"""The Heads page: searched, opened by its address, and Explore against a head's usual self."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit

ADDRESS = "heads?model=smollm2-135m-instruct&layer=3&head=5"


def test_a_head_is_searched_opened_and_compared_with_its_usual_self(visit: Visit) -> None:
    page = visit(ADDRESS, wait=False)
    expect(page.locator(".tk-usual-head h2")).to_have_text("Layer 3, head 5")
    page.locator(".tk-usual-head [data-why]").nth(2).focus()
    page.keyboard.press("Enter")
    source = page.get_by_role("dialog", name="Why this number")
    expect(source.get_by_role("heading")).to_have_text("sink score, 5 % quantile")
    expect(source).to_contain_text("quantiles[0, 0, 3, 5]")
    expect(source).to_contain_text("usual_heads(Settings()")
    page.keyboard.press("Escape")
    expect(source).to_have_count(0)
    page.get_by_label("Sort by").select_option("induction")
    page.get_by_label("Find").fill("induction>0.1 layer=17")
    table = page.locator(".tk-usual-list")
    expect(table.locator("caption")).to_contain_text("largest induction in text first")
    expect(table.locator("tbody tr")).to_have_count(3)
    assert "by=induction" in page.url
    table.locator("[data-select]").first.click()
    expect(page.locator(".tk-usual-head h2")).to_have_text("Layer 17, head 5")
    assert "layer=17&head=5" in page.url
    page.go_back()
    expect(page.locator(".tk-usual-head h2")).to_have_text("Layer 3, head 5")

    page.get_by_role("link", name="See this head in a text").click()
    page.wait_for_url("**run=example-first-token**")
    card = page.locator("#card")
    expect(card).to_contain_text("In layer 3, head 5")
    expect(card).to_contain_text("Against its usual self")
    card.locator(".tk-row-usual [data-why]").first.click()
    expect(source.get_by_role("heading")).to_have_text("sink score, median")
    page.keyboard.press("Escape")
    expect(card.get_by_role("link", name="This head in all texts")).to_have_attribute(
        "href", ADDRESS
    )
