"""Two visitors at once: neither sees what the other chose or ran."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import App, Visit, choose_model, chosen, open_controls, run_text


@pytest.fixture(scope="module")
def hosted(serve: Callable[..., App]) -> App:
    return serve("--hosted")


def test_two_visitors_share_neither_selection_nor_result(visit: Visit) -> None:
    one, other = visit(), visit()
    one.locator("#tk-token-3").click()
    other.locator("#tk-token-9").click()
    expect(one.locator("#card")).to_contain_text("token 3 of")
    expect(other.locator("#card")).to_contain_text("token 9 of")
    example = chosen(other)["run"]
    run_text(one, "Only one of them reads this.")
    assert chosen(other)["run"] == example
    other.keyboard.press("ArrowRight")
    expect(other.locator("#card")).to_contain_text(f"token 10 of {chosen(other)['tokens']}")
    one.locator("#tk-token-2").click()
    expect(one.locator("#card")).to_contain_text(f"token 2 of {chosen(one)['tokens']}")
    assert chosen(other)["token"] == 10


def test_a_hosted_page_keeps_runs_and_models_apart(visit: Visit, hosted: App) -> None:
    one = visit(at=hosted)
    other = visit(at=hosted)
    expect(one.locator("main")).to_contain_text("Public demo")
    text = "A secret of the first visitor."
    run_text(one, text)
    assert any(text[:20] in label for label in stored(one))
    assert not any(text[:20] in label for label in stored(other))
    again = visit(at=hosted, context=one.context)
    assert any(text[:20] in label for label in stored(again))
    choose_model(again, "openai-community/gpt2")
    run_text(again, "A text.", wait=False)
    expect(again.locator("#status [role=alert]")).to_contain_text("not offered here")
    # Whoever has the link may look.
    linked = visit(one.url, at=hosted)
    linked.wait_for_function("run => window.tokenarium?.state.run === run", arg=chosen(one)["run"])
    assert not any(text[:20] in label for label in stored(linked))


def stored(page: Page) -> list[str]:
    """Return the labels of the stored runs that the page offers."""
    open_controls(page)
    page.get_by_role("button", name="Options and stored runs").click()
    page.get_by_label("Open a stored run").click()
    # The examples are offered at once, by their titles; what is stored comes with the model's name.
    page.locator("#stored [role=option]", has_text="·").first.wait_for()
    return page.locator("#stored [role=option]").all_inner_texts()
