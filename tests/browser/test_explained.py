"""The Why page: a run, a click on another token, and the check beside every map."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import Visit, choose_model, chosen, finished, open_controls, run_text

TEXT = "Once upon a time there was a little girl. Once upon a time"
COLOUR = "unit => getComputedStyle(unit).backgroundColor"


def test_a_text_is_explained_and_a_click_explains_another_token(visit: Visit) -> None:
    page = visit("why", wait=False)
    expect(page.locator(".tk-attributed .tk-target")).to_have_text(" Warsaw")
    strongest = page.locator(".tk-attributed .tk-l10").first
    assert strongest.evaluate(COLOUR) == "rgba(245, 158, 11, 0.64)"
    open_controls(page)
    choose_model(page, "bundled/target")
    page.locator("#against textarea, #against input").fill("")
    run_text(page, TEXT)
    expect(page.locator(".tk-attributed .tk-target")).to_have_text(" time")
    said = page.locator("#sentence")
    expect(said).to_contain_text("at random")

    before = page.evaluate("window.tokenarium.state.run")
    page.get_by_role("button", name="girl", exact=True).click()
    finished(page, before)
    expect(page.locator(".tk-attributed .tk-target")).to_have_text(" girl")
    expect(said).to_contain_text("“girl”")
    expect(said).to_contain_text("chance")
    expect(page.locator("#plot-attribution_check .main-svg").first).to_be_visible()
    expect(page.locator(".tk-attributed .tk-later").first).to_be_visible()

    page.locator(".tk-attributed button[tabindex='0']").press("ArrowLeft")
    focused = page.locator(".tk-attributed button:focus")
    expect(focused).to_have_text(" little")
    before = page.evaluate("window.tokenarium.state.run")
    focused.press("Enter")
    finished(page, before)
    expect(page.locator(".tk-attributed .tk-target")).to_have_text(" little")


def test_a_link_to_a_lower_section_opens_there_and_empty_ones_take_no_room(visit: Visit) -> None:
    top = "id => document.getElementById(id).getBoundingClientRect().top"
    page = visit("why", wait=False)
    expect(page.locator("#patch-run")).to_be_visible()
    expect(page.locator(".tk-attributed .tk-target")).to_have_text(" Warsaw")
    assert page.evaluate("scrollY") == 0
    after = page.locator("#methods-run").evaluate("button => button.getBoundingClientRect().bottom")
    assert page.evaluate(top, "patch-section") - after < 100

    page = visit("why?patch=example-where-paris-is", wait=False)
    page.wait_for_function("() => scrollY > 0")
    assert abs(page.evaluate(top, "patch-section")) < 40
    expect(page.locator("#patch-sentence")).to_be_visible()
    expect(page.locator("#plot-patch_residual .main-svg").first).to_be_visible()


def test_a_link_opens_at_the_section_that_it_names_last(visit: Visit) -> None:
    top = "id => document.getElementById(id).getBoundingClientRect().top"
    page = visit("why", wait=False)
    expect(page.locator(".tk-attributed .tk-target")).to_be_visible()
    open_controls(page)
    # The example's model is not on this machine; a question about it may be refused at once.
    choose_model(page, "bundled/target")
    page.locator("#against textarea, #against input").fill("")
    run_text(page, TEXT)
    text, patch = f"run={chosen(page)['run']}", "patch=example-where-paris-is"
    page = visit(f"why?{text}&{patch}", context=page.context, wait=False)
    page.wait_for_function("() => scrollY > 0")
    assert abs(page.evaluate(top, "patch-section")) < 40
    assert page.url.index("run=") < page.url.index("patch=")
    page.evaluate("scrollTo(0, 0)")
    # It asks why another word stands there: what was asked last stands last.
    page.locator(".tk-attributed [data-select]").first.click()
    page.wait_for_url(re.compile("patch=[^&]*&run="))

    page = visit(f"why?{patch}&{text}", wait=False)
    page.locator("#plot-patch_residual .main-svg").first.wait_for()
    page.wait_for_timeout(500)
    assert page.evaluate("scrollY") == 0
