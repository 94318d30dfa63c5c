"""No press of a button is lost: while a run goes on, and before the page has opened its run."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import App, Share, Visit, choose_model, chosen, open_controls

GOING = "A run is going: wait for its end, or press Cancel first."


def press_again(page: Page, button: str) -> None:
    """Press what says that it cannot be pressed, as a visitor may."""
    page.locator(button).dispatch_event("click")


def test_run_says_that_a_run_is_going_and_answers_a_press(visit: Visit) -> None:
    page = visit()
    choose_model(page, "local/deep")
    page.locator("#text textarea").fill("pressed twice, " * 260)
    page.locator("#run").click()
    run = page.locator("#run")
    expect(run).to_have_text("Running…")
    expect(run).to_have_attribute("aria-disabled", "true")
    press_again(page, "#run")
    expect(page.get_by_text(GOING)).to_be_visible()
    page.wait_for_url(re.compile("run="))
    page.reload()
    # Found again by its address, it goes on.
    expect(run).to_have_text("Running…")
    expect(page.locator("#status progress")).to_be_visible()
    press_again(page, "#run")
    expect(page.get_by_text(GOING)).to_be_visible()
    page.locator("#cancel").click()
    expect(run).to_have_text("Run")
    expect(run).not_to_have_attribute("aria-disabled", "true")
    expect(page.get_by_text(GOING)).to_have_count(0)


def test_what_is_refused_can_be_run_again_at_once(shared: Share) -> None:
    page = shared("cache")
    open_controls(page)
    for budget in (2, 3):
        page.locator("#budget input").fill(str(budget))
        page.keyboard.press("Tab")
        page.locator("#run").click()
        expect(page.locator("#status [role=alert]")).to_contain_text(f"budget={budget}")
        expect(page.locator("#run")).to_have_text("Run")


@pytest.mark.parametrize(
    ("path", "buttons"),
    [("", ["run"]), ("cache", ["run", "sweep"]), ("speculate", ["run", "race"])],
)
def test_every_page_says_which_of_its_runs_go_on(
    shared: Share, path: str, buttons: list[str]
) -> None:
    page = shared(path)
    for name in buttons:
        button = "#run" if name == "run" else f"#{name}-run"
        before = page.locator(button).inner_text()
        tell = "([section, on]) => window.tokenarium.bus.emit('going', {section, on})"
        page.evaluate(tell, [name, True])
        expect(page.locator(button)).to_have_text("Running…")
        press_again(page, button)
        expect(page.get_by_text(GOING)).to_be_visible()
        page.evaluate(tell, [name, False])
        expect(page.locator(button)).to_have_text(before)
        expect(page.get_by_text(GOING)).to_have_count(0)


# Each question to the server waits in the browser: the test is not held up by it.
SLOWLY = """
const quick = window.fetch;
window.fetch = async (...asked) => {
  const joins = String(asked[0]?.url ?? asked[0]).includes('/queue/join');
  if (joins) await new Promise(done => setTimeout(done, 400));
  return quick(...asked);
};
"""


def test_a_press_before_the_run_is_opened_waits_for_it(visit: Visit, app: App) -> None:
    page = visit("about:blank", wait=False)
    page.add_init_script(SLOWLY)
    page.goto(f"{app.url}/?run=example-small-model&token=9")
    # What stands there so far is the first example.
    page.locator("#tk-token-3").dispatch_event("click")
    assert page.locator("body.tk-arriving").count() == 1
    page.wait_for_function("window.tokenarium.state.run === 'example-small-model'")
    expect(page.locator("#card")).to_contain_text("token 3 of 105")
    page.wait_for_url(re.compile("token=3"))
    assert chosen(page)["token"] == 3


def test_a_word_without_a_name_is_pressed_where_it_stands_when_the_run_is_opened(
    visit: Visit, app: App
) -> None:
    page = visit("about:blank", wait=False)
    page.add_init_script(SLOWLY)
    page.goto(f"{app.url}/why?run=example-why-warsaw")
    word = page.get_by_role("button", name="physics", exact=True)
    word.dispatch_event("click")
    assert page.locator("body.tk-arriving").count() == 1
    # The map is drawn anew, as it is for a run with other words.
    word.evaluate("word => word.closest('.tk-attributed').outerHTML += ''")
    page.wait_for_function("window.tokenarium.state.run === 'example-why-warsaw'")
    page.wait_for_url(re.compile("run=(?!example)"))
