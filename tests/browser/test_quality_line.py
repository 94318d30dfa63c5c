"""A quality line is dragged, moved by keys and typed; the answer follows, settings are copied."""

import ast
import re

from playwright.sync_api import expect

from tests.browser.conftest import Visit

LINE = "#plot-sweep_bytes .tk-quality"


def test_budget_follows_the_line_and_its_settings_are_copied(visit: Visit) -> None:
    page = visit("cache?sweep=example-a-hidden-number", wait=False)
    answer, typed = page.locator("#table-budgets .tk-sentence"), page.locator("#quality-line")
    expect(answer).to_contain_text("at most 1. Held by TOVA with 50%")
    handle = page.locator(LINE)
    handle.evaluate("line => line.scrollIntoView({block: 'center'})")
    expect(handle).to_have_attribute("aria-valuetext", "at most 1")
    box = handle.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 150, box["y"] + 12)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] - 50, steps=4)
    page.mouse.up()
    expect(answer).not_to_contain_text("at most 1. Held")
    dragged = float(typed.input_value())
    assert dragged > 1.2
    handle.focus()
    page.keyboard.press("ArrowDown")
    expect(answer).not_to_contain_text(f"at most {dragged:g}. Held")
    assert float(typed.input_value()) < dragged
    typed.fill("2")
    page.keyboard.press("Enter")
    expect(answer).to_contain_text("at most 2. Held by SnapKV with 10%")
    expect(handle).to_have_attribute("aria-valuetext", "at most 2")
    assert "line=kl%3A2" in page.url
    page.evaluate("navigator.clipboard.writeText = async text => { window.copied = text; }")
    button = page.locator("#table-budgets tr", has_text="SnapKV").locator("[data-copy]").last
    button.click()
    expect(button).to_have_text("Copied")
    copied = page.evaluate("window.copied")
    ast.parse(copied)
    assert re.search(
        r"SnapKVPress\(compression_ratio=0.9, window_size=\d+, kernel_size=5\)", copied
    )


def test_a_link_opens_the_line_with_its_measure(visit: Visit) -> None:
    page = visit("cache?sweep=example-a-hidden-number&line=accuracy:0.8", wait=False)
    expect(page.locator("#table-budgets .tk-sentence")).to_contain_text("at least 0.8")
    expect(page.locator("#quality-line")).to_have_value("0.8")
    expect(page.locator("#sweep-measure input")).to_have_value("accuracy")
