"""A number opens what it is, by mouse and by keyboard, and Escape goes back to it."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Share, chosen

CODE = "print(result.entropy_nats[{}])"


def test_a_number_opens_its_definition_and_python_and_escape_goes_back(shared: Share) -> None:
    page = shared("")
    box = page.get_by_role("dialog", name="Why this number")
    token = chosen(page)["token"] or 0
    entropy = page.locator(f'[data-why="entropy_nats {token}"]')
    shown = entropy.inner_text()
    entropy.click()
    expect(box.locator("pre")).to_contain_text(CODE.format(token))
    expect(box).to_contain_text(f"entropy_nats[{token}]")
    expect(box.locator("dd code").first).to_contain_text(shown[:3])
    expect(page.locator(".tk-rows details[open]")).to_have_count(0)
    copied = box.get_by_role("button", name="Copy Python").get_attribute("data-copy") or ""
    assert copied == box.locator("pre").inner_text()
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(entropy).to_be_focused()

    share = page.locator("#sentence [data-why]").first
    before = chosen(page)
    share.focus()
    page.keyboard.press("Enter")
    expect(box.locator("pre")).to_contain_text("received_by_token()")
    page.keyboard.press("ArrowRight")
    assert chosen(page) == before, "the arrows of the open number are not the page's"
    page.mouse.click(5, 5)
    expect(box).to_be_hidden()


def test_a_number_of_a_figure_opens_from_its_table_and_from_its_point(shared: Share) -> None:
    page = shared("")
    box = page.get_by_role("dialog", name="Why this number")
    figure = page.locator("#plot-grid")
    figure.locator(".tk-numbers summary").click()
    cell = figure.locator("td [data-why]").nth(4)
    cell.click()
    expect(box.locator("pre")).to_contain_text("print(result.sink_score[")
    value = box.locator("dd code").first.inner_text()
    assert float(cell.inner_text()) == pytest.approx(float(value), rel=1e-3)
    page.keyboard.press("Escape")
    bare = "td:not(:has([data-why])):not(:empty)"
    assert not [t for t in figure.locator(bare).all_inner_texts() if any(map(str.isdigit, t))]

    figure.locator(".nsewdrag").click(position={"x": 40, "y": 30})
    line = figure.locator(".tk-pointed")
    expect(line).to_contain_text("layer")
    at = chosen(page)
    line.locator("[data-why]").click()
    expect(box.locator("pre")).to_contain_text(f"sink_score[{at['layer']}, {at['head']}]")
    page.keyboard.press("Escape")
