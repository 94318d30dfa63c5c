"""From page to page: what goes along, what goes on, and whose keys they are."""

import re

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import DRAWN, App, Visit, choose_model, chosen


def go(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.locator("[aria-current=page]")).to_have_text(name)


def test_text_and_model_go_along(visit: Visit) -> None:
    page = visit()
    choose_model(page, "bundled/draft")
    page.locator("#text textarea").fill("Carried from page to page.")
    for name in ("Cache", "Speculate", "Explore"):
        go(page, name)
        expect(page.locator("#text textarea")).to_have_value("Carried from page to page.")
        expect(page.locator("#model input")).to_have_value("bundled/draft")


def test_a_model_that_is_refused_stays_where_it_was_typed(visit: Visit) -> None:
    page = visit()
    begins = page.locator("#model input").input_value()
    choose_model(page, "no/such-model")
    page.locator("#text textarea").fill("The text goes along all the same.")
    expect(page.locator("#pill :is(.tk-error, .tk-refused)")).to_be_visible()
    go(page, "Cache")
    expect(page.locator("#text textarea")).to_have_value("The text goes along all the same.")
    expect(page.locator("#model input")).to_have_value(begins)


def test_a_run_goes_on_while_another_page_is_looked_at(visit: Visit) -> None:
    page = visit()
    choose_model(page, "local/deep")
    page.locator("#text textarea").fill("goes on, " * 440)
    page.locator("#run").click()
    expect(page.locator("#status progress")).to_be_visible()
    page.wait_for_url(re.compile("run="))
    address = page.url
    go(page, "Cache")
    page.go_back()
    expect(page.locator("#status progress")).to_be_visible()
    expect(page).to_have_url(address)
    page.reload()
    expect(page.locator("#status")).to_contain_text(" of 48")
    page.locator("#cancel").click()
    expect(page.locator("#status")).to_contain_text("Cancelled.")
    # It ends at its next layer.
    for _ in range(50):
        page.locator("#cancel").click()
        page.wait_for_timeout(200)
        if "Nothing is running" in page.locator("#status").inner_text():
            break
    expect(page.locator("#status")).to_contain_text("Nothing is running")


def test_keys_move_what_the_page_steps_through(visit: Visit) -> None:
    page = visit("cache", wait=False)
    expect(page.locator(".tk-lane")).to_have_count(5)
    page.locator("#sentence").click()
    expect(page.locator(".tk-scrub output").first).to_have_text("after the prompt")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tk-scrub output").first).to_have_text("step 1 of 47")
    page.keyboard.press("j")
    expect(page.locator("#place-layer")).to_have_value("1")
    page.wait_for_url(re.compile("step=1.*layer=1|layer=1.*step=1"))
    page.keyboard.press("End")
    assert chosen(page)["step"] == 1


def test_the_step_is_one_for_lanes_and_figures(visit: Visit) -> None:
    page = visit("cache?run=example-what-is-kept&step=20&layer=2&policy=streaming_llm", wait=False)
    expect(page.locator(".tk-scrub output").first).to_have_text("step 20 of 47")
    expect(page.locator("#place-layer")).to_have_value("2")
    expect(page.locator("#place-policy")).to_have_value("streaming_llm")
    line = page.locator("#plot-cache_kl .tk-selected-x")
    page.locator("#plot-cache_kl").scroll_into_view_if_needed()
    expect(line).to_be_visible()


def test_an_address_with_a_run_of_another_kind_leads_to_its_page(visit: Visit, app: App) -> None:
    page = visit("about:blank", wait=False)
    asked: list[str] = []
    page.on(
        "request", lambda request: request.is_navigation_request() and asked.append(request.url)
    )
    page.goto(f"{app.url}/speculate?run=example-what-is-kept")
    page.wait_for_url(f"{app.url}/cache?run=example-what-is-kept")
    expect(page.locator(".tk-lane")).to_have_count(5)
    # The message that leads there comes twice; the page goes once.
    assert asked == [
        f"{app.url}/{name}?run=example-what-is-kept" for name in ("speculate", "cache")
    ]


def test_views_that_are_closed_cost_no_nodes(visit: Visit) -> None:
    page = visit()
    expect(page.locator("#view-attention .main-svg .cartesianlayer")).to_have_count(3)
    before = page.evaluate("document.querySelectorAll('*').length")
    for tab in page.locator("#views [role=tab]").all():
        tab.click()
        page.wait_for_timeout(200)
    page.locator("#views [role=tab]").first.click()
    page.wait_for_function(DRAWN)
    page.wait_for_function(
        "before => document.querySelectorAll('*').length < 2 * before", arg=before
    )
    expect(page.locator("#plot-scatter .main-svg")).to_have_count(0)
    page.get_by_role("tab", name="Kinds of heads", exact=True).click()
    expect(page.locator("#plot-scatter .main-svg").first).to_be_visible()


def test_who_refuses_cookies_keeps_a_name_for_the_tab(visit: Visit, app: App) -> None:
    page = visit("about:blank", wait=False)
    context: BrowserContext = page.context
    context.add_init_script(
        "Object.defineProperty(document, 'cookie', {get: () => '', set: () => {}});"
        "Object.defineProperty(window, 'localStorage', {get: () => { throw new Error('off'); }});"
    )
    context.clear_cookies()
    page.goto(app.url)
    page.wait_for_function(DRAWN)
    name = page.evaluate("window.tokenarium.visitor")
    assert page.evaluate("window.tokenarium.told().visitor") == name
    page.goto(f"{app.url}/cache")
    expect(page.locator(".tk-lane")).to_have_count(5)
    assert page.evaluate("window.tokenarium.visitor") == name
    assert context.cookies() == []
