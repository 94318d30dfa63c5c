"""A number opens what it is, by mouse and by keyboard, and Escape goes back to it."""

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
