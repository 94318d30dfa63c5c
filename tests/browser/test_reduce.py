"""Cut in depth and width on the Why page: cancelled, run, found again at its address, narrow."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import Visit, choose_model, open_controls

NARROW = "document.documentElement.scrollWidth <= innerWidth"


def test_a_model_is_cut_cancelled_and_found_again_at_its_address(visit: Visit) -> None:
    page = visit("why?reduce=example-half-of-the-channels", wait=False)
    figure = page.locator("#plot-reduction_loss .main-svg").first
    said = page.locator("#reduce-sentence p").first
    expect(figure).to_be_visible()
    before = said.inner_text()
    assert "nats" in before
    open_controls(page)
    choose_model(page, "local/deep")
    go, status = page.locator("#reduce-run"), page.locator("#reduce-status")
    go.click()
    expect(status.locator("progress")).to_be_visible()
    page.locator("#reduce-cancel").click()
    expect(status).to_contain_text("Cancelled.")
    page.wait_for_function("!window.tokenarium.running.reduce")
    choose_model(page, "bundled/target")
    go.click()
    expect(said).not_to_have_text(before)
    page.wait_for_function("!window.tokenarium.running.reduce")
    page.wait_for_url(re.compile(r"reduce=(?!example)"))
    expect(figure).to_be_visible()
    after = said.inner_text()
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function(NARROW)
    page.reload()
    expect(said).to_have_text(after)
    expect(figure).to_be_visible()
    page.wait_for_function(NARROW)
