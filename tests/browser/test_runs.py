"""Running a text from the page: progress, cancel, errors in words, hostile text, files."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import (
    DRAWN,
    App,
    Visit,
    choose_model,
    chosen,
    open_controls,
    quiet,
    run_text,
)

HOSTILE = (
    "<script>alert(1)</script> ${alert(1)} {{x}} `${1}` <img src=x onerror=alert(1)> &lt;b&gt; "
    "<b>%{y}</b> \"to\" 'left'"
)
STRIP_TEXT = (
    "[...document.querySelectorAll('#strip .tk-token:not([data-special])')]"
    ".map(e => /^·+$/.test(e.textContent) ? e.textContent.replaceAll('·', ' ')"
    " : e.textContent).join('')"
)


def test_a_typed_text_is_read_stored_and_linked(visit: Visit) -> None:
    page = visit()
    example = chosen(page)["run"]
    text = "A grey cat sat on the wall, and it looked at me."
    run_text(page, text)
    strip_reads(page, text)
    state = chosen(page)
    assert state["run"] != example
    expect(page).to_have_url(re.compile(f"run={state['run']}"))
    expect(page.locator("#sentence")).to_contain_text(
        f"{state['tokens']} tokens: one text, not the distribution"
    )
    expect(page.locator("#status")).to_have_text(re.compile(r"^\s*$"))
    expect(page.locator("#facts")).to_contain_text(state["run"])
    quiet(page)
    page.reload()
    page.wait_for_function("run => window.tokenarium?.state.run === run", arg=state["run"])
    page.wait_for_function(DRAWN)
    strip_reads(page, text)
    expect(page.locator("#text textarea")).to_have_value(text)
    page.go_back()
    page.wait_for_function("run => window.tokenarium?.state.run === run", arg=example)


def test_a_long_run_tells_progress_and_can_be_cancelled(visit: Visit, app: App) -> None:
    page = visit()
    example, said = chosen(page)["run"], strip_text(page)
    choose_model(page, "local/deep")
    text = "never stored, " * 280
    run_text(page, text, wait=False)
    progress = page.locator("#status progress")
    expect(progress).to_be_visible()
    expect(page.locator("#status")).to_contain_text(" of 48")
    page.locator("#cancel").click()
    expect(page.locator("#status")).to_contain_text("Cancelled.")
    expect(progress).to_have_count(0)
    page.wait_for_timeout(1000)
    expect(page.locator("#status")).to_contain_text("Cancelled.")
    sentence = expect(page.locator("#sentence"))
    if strip_text(page) == said:
        sentence.not_to_contain_text("partial")
    else:
        sentence.to_contain_text("partial")
    page.locator("#tk-token-3").click()
    expect(page.locator("#card")).to_contain_text("token 3 of")
    open_controls(page)
    page.get_by_role("button", name="Options and stored runs").click()
    page.get_by_label("Open a stored run").click()
    page.locator("#stored [role=option]", has_text="·").first.wait_for()
    expect(page.locator("#stored")).not_to_contain_text("never stored")
    page.keyboard.press("Escape")
    # The model is free again, and the page is as usable as before.
    choose_model(page, "bundled/target")
    run_text(page, "After the storm.")
    strip_reads(page, "After the storm.")
    assert chosen(page)["run"] not in (None, example)


def test_hostile_text_is_text_in_every_view(visit: Visit) -> None:
    page = visit()
    run_text(page, HOSTILE)
    strip_reads(page, HOSTILE)
    for index in range(1, chosen(page)["tokens"], 5):
        page.locator(f"#tk-token-{index}").click()
        expect(page.locator("#card")).to_contain_text(f"token {index} of")
    assert page.locator("#card img, #strip img, #strip b, #card b, .tk-plot script").count() == 0
    expect(page.locator("#status")).not_to_contain_text("1")


@pytest.mark.parametrize(
    ("model", "text", "said"),
    [
        ("bundled/target", "", "text"),
        ("bundled/target", "word " * 4000, "tokens"),
        ("no such model", "A text.", "no such model"),
        ("local/nothing", "A text.", "local/nothing"),
    ],
    ids=["empty", "too-long", "no-name", "no-folder"],
)
def test_what_cannot_be_done_is_said_in_words(page: Page, model: str, text: str, said: str) -> None:
    before = strip_text(page)
    choose_model(page, model)
    run_text(page, text, wait=False)
    alert = page.locator("#status [role=alert]")
    expect(alert).to_contain_text(said)
    told = alert.inner_text()
    assert re.search(r": |; ", told), "names the remedy after the problem"
    assert not re.search(r"Traceback|Error\b|File \"", told)
    assert page.locator(".toast-wrap .error").count() == 0
    assert strip_text(page) == before
    page.locator("#cancel").click()
    expect(page.locator("#status")).to_contain_text("Nothing is running")


def test_the_file_holds_the_numbers_of_the_strip(page: Page, app: App) -> None:
    with page.expect_download() as started:
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_role("menuitem", name="Numbers and their definitions (JSON)").click()
    assert started.value.suggested_filename == f"tokenarium-{chosen(page)['run']}.json"
    file = json.loads(Path(started.value.path()).read_text(encoding="utf-8"))
    surprisal = file["values"]["surprisal_nats"]
    shown = strip_numbers(app, "surprisal")
    exported = np.float32([np.nan if value is None else value for value in surprisal])
    # The strip is sent 11 bits of every number, over three digits.
    np.testing.assert_allclose(shown, exported, rtol=2**-11)
    page.locator(".tk-metrics [data-metric=surprisal]").click()
    for index in (1, len(surprisal) - 1):
        page.locator(f"#tk-token-{index}").hover()
        told = page.locator(".tk-readout").inner_text()
        number = float(re.search(r"surprisal ([\d.]+) nats", told)[1])
        assert number == pytest.approx(surprisal[index], rel=0.05)


def test_the_link_is_offered_to_copy(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#tk-token-4").click()
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator(".tk-done")).to_have_text("Link copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert f"run={chosen(page)['run']}" in copied
    assert "token=4" in copied


def strip_text(page: Page) -> str:
    """Return the text as the strip shows it, without what the tokenizer added."""
    shown: str = page.evaluate(STRIP_TEXT)
    return shown


def strip_reads(page: Page, text: str) -> None:
    """Wait until the strip shows a text."""
    page.wait_for_function(f"text => {STRIP_TEXT} === text", arg=text)


def strip_numbers(app: App, metric: str) -> Any:
    """Return the numbers of the strip as the page was given them."""
    parts = app.get("config")["components"]
    strip = next(part["props"] for part in parts if part["props"].get("elem_id") == "strip")
    packed = strip["value"]["metrics"][metric]
    halves = np.frombuffer(base64.b64decode(packed["values"]), "<f2")
    return np.ldexp(halves.astype(np.float64), -packed["exponent"])
