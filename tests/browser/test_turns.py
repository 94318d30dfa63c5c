"""The editor of turns: text or chat, turns added, removed, given roles, run, found again."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, choose_model, chosen, finished, open_controls


def turns(page: Page) -> list[tuple[str, str]]:
    """Return role and words of every turn in the editor."""
    rows = page.locator(".tk-turn").all()
    return [
        (row.locator("select").input_value(), row.locator("textarea").input_value()) for row in rows
    ]


def test_turns_are_written_run_and_found_again(visit: Visit) -> None:
    page = visit()
    open_controls(page)
    choose_model(page, "local/chat")
    text = page.locator("#text textarea")
    text.fill("What is a sink?")
    page.get_by_role("radio", name="Chat").click()
    expect(text).to_be_hidden()
    assert turns(page) == [("user", "What is a sink?")]
    add = page.get_by_role("button", name="Add a turn")
    add.click()
    expect(page.get_by_label("Turn 2", exact=True)).to_be_focused()
    page.keyboard.type("The first token.")
    add.click()
    page.keyboard.type("to be removed")
    assert [role for role, _ in turns(page)] == ["user", "assistant", "user"]
    page.get_by_label("Role of turn 1").select_option("system")
    page.get_by_role("button", name="Remove turn 3").click()
    add.click()
    page.keyboard.type("And why?")
    written = [
        ("system", "What is a sink?"), ("assistant", "The first token."), ("user", "And why?")
    ]  # fmt: skip
    assert turns(page) == written
    before = chosen(page)["run"]
    page.locator("#run").click()
    finished(page, before)
    strip = "[...document.querySelectorAll('#strip .tk-token')].map(e => e.textContent).join('')"
    read = page.evaluate(strip).replace("·", " ")
    places = [read.index(f"[{role}]{words}") for role, words in written]
    assert places == sorted(places)
    assert read.endswith("[assistant]")
    page.locator("#strip .tk-token", has_text="y").last.click()  # of "why"
    expect(page.locator("#card")).to_contain_text("turn 2, user")
    again = visit(page.url, wait=False)
    again.wait_for_function("run => window.tokenarium?.state.run === run", arg=chosen(page)["run"])
    open_controls(again)
    expect(again.get_by_role("radio", name="Chat")).to_have_attribute("aria-checked", "true")
    expect(again.locator(".tk-turn")).to_have_count(3)
    assert turns(again) == written


def test_text_and_chat_each_keep_what_was_written(visit: Visit) -> None:
    page = visit()
    open_controls(page)
    page.get_by_role("radio", name="Chat").click()
    page.get_by_label("Turn 1", exact=True).fill("A question.")
    page.get_by_role("radio", name="Text").click()
    expect(page.locator(".tk-turn")).to_have_count(1)
    expect(page.locator(".tk-turns")).to_be_hidden()
    page.locator("#text textarea").fill("A text.")
    page.get_by_role("radio", name="Chat").click()
    assert turns(page) == [("user", "A question.")]
    page.get_by_role("button", name="Remove turn 1").click()
    expect(page.locator(".tk-turn")).to_have_count(0)
    page.locator("#run").click()
    expect(page.locator("#status [role=alert]")).to_contain_text("text")
    page.get_by_role("radio", name="Text").click()
    expect(page.locator("#text textarea")).to_have_value("A text.")
