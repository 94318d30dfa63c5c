"""The Audit page: a fault found where it stands, figures of an engine, both opened again."""

import json
import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Visit


def test_a_fault_is_found_and_figures_are_read_and_open_again(visit: Visit) -> None:
    page = visit("audit", wait=False)
    page.get_by_role("button", name="One word changed").click()
    page.locator("#audit-go").click()
    expect(page.locator("#audit-said")).to_contain_text("Wrong")
    expect(page.locator("#audit-text [data-mark=wrong]").first).to_have_text("garden")
    page.wait_for_url("**/audit?run=*")
    gaps = page.locator("#plot-audit-gaps")
    gaps.locator("summary").click()
    gaps.locator("[data-why]").last.click()
    expect(page.get_by_role("dialog", name="Why this number")).to_contain_text("gap[")
    page.keyboard.press("Escape")
    address = page.url
    page.get_by_role("button", name="Save", exact=True).click()
    with page.expect_download() as started:
        page.get_by_role("menuitem", name="Numbers and their definitions (JSON)").click()
    assert json.loads(Path(started.value.path()).read_text("utf-8"))["kind"] == "audit"
    page.get_by_role("button", name="vLLM, detailed").click()
    expect(page.locator("#import-log textarea")).to_have_value(re.compile("speculative_decoding"))
    page.locator("#import-read").click()
    expect(page.locator("#import-said")).to_contain_text("19 of 38 drafted tokens accepted")
    expect(page.locator(".tk-import-round")).to_have_count(10)
    expect(page.locator("#import-lengths")).to_contain_text("mean acceptance length")
    page.locator("#import-log textarea").fill('{"token_ids": [NaN]}')
    page.locator("#import-read").click()
    expect(page.locator("#import-status")).to_contain_text("of no format that is known here")

    again = visit(address.split("/")[-1], wait=False)
    expect(again.locator("#audit-said")).to_contain_text("Wrong")
    expect(again.locator("#audit-prompt textarea")).to_have_value(
        "Once upon a time there was a little girl named Lily. She loved to play outside."
    )

    framed = visit(f"{address.split('/')[-1]}&embed=sentence,text", wait=False)
    expect(framed.locator("#audit-said")).to_contain_text("Wrong")
    for hidden in ("#audit-go", "#audit-prompt", "#import-log", "#actions", "#plot-audit-gaps"):
        expect(framed.locator(hidden).first).to_be_hidden()
    back = framed.get_by_role("link", name="Open in Tokenarium")
    expect(back).to_have_attribute("href", address)


def test_a_file_can_be_chosen_in_a_narrow_window(visit: Visit) -> None:
    page = visit("audit", wait=False)
    page.set_viewport_size({"width": 390, "height": 844})
    box = page.locator(".tk-import-file").bounding_box()
    assert box is not None
    assert box["width"] > 200
