"""The Cache page: five policies run, every decision is replayed without asking Python."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import (
    DRAWN,
    App,
    Share,
    Visit,
    Watch,
    chosen,
    finished,
    open_controls,
    quiet,
)
from tokenarium.backend import KINDS, CacheRequest, CacheResult, protected
from tokenarium.backend import kinds as told
from tokenarium.backend.runs.examples import read
from tokenarium.backend.runs.kind import KINDS as RUN_KINDS

GONE = "document.querySelectorAll('.tk-lane')[{lane}].querySelectorAll('.tk-gone').length"


@pytest.fixture
def cache(shared: Share) -> Page:
    """A page on which the usual five policies have run for a few tokens."""
    page = shared("cache")
    if page.get_by_label("New tokens").first.input_value() != "12":
        run_twelve(page)
    return page


def run_twelve(page: Page) -> None:
    """Continue the example by 12 tokens."""
    example = chosen(page)["run"]
    open_controls(page)
    page.get_by_label("New tokens").first.fill("12")
    page.keyboard.press("Tab")
    page.locator("#run").click()
    # Lanes are there before their policies have run.
    finished(page, example)
    expect(page.locator(".tk-lane")).to_have_count(5)
    for lane in page.locator(".tk-lane").all():
        expect(lane.locator(".tk-made")).to_have_count(12)
    expect(page.locator("#table-cache tbody tr")).to_have_count(5)
    expect(page.locator(".tk-scrub output")).to_have_text("after the prompt")


@pytest.fixture
def example(visit: Visit) -> Page:
    """A page as it comes, with its finished run."""
    page = visit("cache", wait=False)
    expect(page.locator(".tk-lane")).to_have_count(5)
    return page


def fill_budget(page: Page, budget: int) -> None:
    open_controls(page)
    page.locator("#budget input").fill(str(budget))
    page.keyboard.press("Tab")


def test_policies_run_and_are_replayed_in_the_browser(cache: Page, module_watch: Watch) -> None:
    page = cache
    scrub = page.get_by_label("Decode step")
    scrub.fill("11")
    full, others = page.evaluate(GONE.format(lane=0)), page.evaluate(GONE.format(lane=3))
    assert full == 0
    assert others > 0
    expect(page.locator("#table-cache tbody tr").first).to_contain_text("100%")
    quiet(page)
    asked = module_watch.asked(page)
    scrub.fill("3")
    expect(page.locator(".tk-scrub output")).to_have_text("step 3 of 11")
    assert page.evaluate(GONE.format(lane=3)) < others
    page.get_by_role("button", name="Play").click()
    expect(page.locator(".tk-scrub output")).to_have_text("step 11 of 11")
    assert page.evaluate(GONE.format(lane=3)) == others
    assert module_watch.asked(page) == asked


def test_another_layer_is_shown_from_the_stored_run(cache: Page) -> None:
    page = cache
    frame = page.locator("#plot-cache_map .tk-frame")
    expect(frame).to_have_attribute("aria-label", re.compile("in layer 0, KV head 0"))
    page.locator("#place-layer").fill("5")
    page.keyboard.press("Tab")
    expect(frame).to_have_attribute("aria-label", re.compile("in layer 5, KV head 0"))


def test_a_budget_that_cannot_be_is_said(cache: Page) -> None:
    page = cache
    fill_budget(page, 2)
    page.locator("#run").click()
    expect(page.locator("#status [role=alert]")).to_contain_text("budget")
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
    fill_budget(page, -5)
    page.locator("#run").click()
    expect(page.locator("#status [role=alert]")).to_contain_text("budget=-5")
    expect(page.locator("#run")).to_be_enabled()


def kinds(page: Page, lane: int) -> list[str]:
    """What every token of a lane is, as the style sheet names it."""
    found: list[str] = page.evaluate(
        """lane => [...document.querySelectorAll('.tk-lane')[lane].querySelectorAll('.tk-entry')]
        .filter(entry => entry.className.includes('tk-k-'))
        .map(entry => [...entry.classList].find(name => name.startsWith('tk-k-')).slice(5))""",
        lane,
    )
    return found


def test_a_finished_run_is_there_at_once_and_lanes_agree_with_the_map(example: Page) -> None:
    page = example
    expect(page.locator("#sentence")).to_contain_text("H2O and StreamingLLM change")
    shipped = read(RUN_KINDS.find("cache").examples[0])
    assert isinstance(shipped.result, CacheResult)
    asked = shipped.request
    assert isinstance(asked, CacheRequest)
    result, layers = shipped.result, shipped.result.evicted_at.shape[1]
    prompt = len(result.prompt_ids)
    for step in (0, 20, 47):
        page.get_by_label("Decode step").fill(str(step))
        expect(page.locator(".tk-scrub output")).to_have_text(
            "after the prompt" if step == 0 else f"step {step} of 47"
        )
        for run in result.runs:
            policy = asked.policies[run.number].policy
            own = protected(policy, result.budget_tokens, layers, 0, prompt)
            row = told(run, own, 0, 0)[step, : prompt + step]
            assert kinds(page, run.number) == [KINDS[number].slug for number in row]


def test_the_card_follows_the_controls(cache: Page) -> None:
    page = cache
    card = page.locator("#cost")
    for budget in (48, 30):
        fill_budget(page, budget)
        expect(card).to_contain_text(f"{budget} entries per head")
    fill_budget(page, 2)
    expect(card).to_contain_text("raise budget to at least")


def test_parameters_are_drawn_for_the_chosen_policies(cache: Page) -> None:
    page = cache
    fill_budget(page, 48)
    page.get_by_role("button", name="Options and stored runs").click()
    sink = page.get_by_label("Sink", exact=True)
    expect(sink).to_have_count(1)
    sink.fill("60")
    page.keyboard.press("Tab")
    expect(page.locator("#cost")).to_contain_text("raise budget to at least 61")
    group = page.locator(".tk-method", has_text="StreamingLLM")
    group.get_by_role("button", name="Scaled defaults").click()
    expect(sink).to_have_value("4")
    expect(page.locator("#cost")).to_contain_text("48 entries per head")


def test_what_is_typed_while_other_fields_are_fetched_stays(example: Page) -> None:
    page, held, holding = example, [], [True]
    fill_budget(page, 48)
    page.get_by_role("button", name="Options and stored runs").click()
    sink = page.get_by_label("Sink", exact=True)
    expect(page.locator("#cost")).to_contain_text("48 entries per head")

    def late(route: Route) -> None:
        held.append(route) if holding[0] else route.continue_()

    groups = page.locator(".tk-method")
    many = groups.count()
    page.route(re.compile("queue/join"), late)
    with page.expect_request(re.compile("queue/join")):
        page.locator("#policies").get_by_role("button", name=re.compile("Remove")).last.click()
    sink.fill("60")
    page.keyboard.press("Tab")
    holding[0] = False
    for route in held:
        route.continue_()
    expect(groups).to_have_count(many - 1)
    expect(sink).to_have_value("60")
    expect(page.locator("#cost")).to_contain_text("raise budget to at least 61")


def test_a_run_has_an_address_and_back_works(example: Page, visit: Visit) -> None:
    page = example
    run_twelve(page)
    page.wait_for_url(re.compile("run="))
    address = page.evaluate("location.href")
    again = visit(address, context=page.context, wait=False)
    expect(again.locator(".tk-lane .tk-made")).to_have_count(60)
    expect(again.get_by_label("New tokens").first).to_have_value("12")
    page.go_back()
    expect(page.locator(".tk-lane .tk-made")).to_have_count(5 * 48)
    page.go_forward()
    expect(page.locator(".tk-lane .tk-made")).to_have_count(5 * 12)
    page.get_by_role("link", name="Explore", exact=True).click()
    page.wait_for_function(DRAWN)
    page.go_back()
    expect(page.locator("#run")).to_be_visible()
    expect(page).to_have_url(address)


def test_a_point_of_the_trade_off_opens_its_run(visit: Visit) -> None:
    page = visit("cache", wait=False)
    expect(page.locator(".tk-lane")).to_have_count(5)
    page.get_by_label("Budgets (shares of the prompt)").fill("0.5")
    page.locator("#sweep-run").click()
    expect(page.locator("#sweep-sentence")).to_contain_text("5 of 5 points measured")
    page.locator("#table-sweep").get_by_role("button", name="H2O").click()
    expect(page.locator(".tk-lane")).to_have_count(1)
    expect(page.locator(".tk-lane h2")).to_contain_text("H2O")
    page.wait_for_function("location.search.includes('sweep=')")
    again = visit(page.url, context=page.context, wait=False)
    expect(again.locator("#sweep-sentence")).to_contain_text("5 of 5 points measured")
    expect(again.locator(".tk-lane h2")).to_contain_text("H2O")


def test_an_address_of_a_tab_leads_to_the_page(visit: Visit, app: App) -> None:
    page = visit("?tab=cache&run=example-what-is-kept&__theme=dark", wait=False)
    expect(page.locator(".tk-lane")).to_have_count(5)
    expect(page).to_have_url(f"{app.url}/cache?run=example-what-is-kept&__theme=dark")
    page.goto(f"{app.url}/?tab=explore&token=3")
    page.wait_for_function(DRAWN)
    expect(page).to_have_url(re.compile(rf"^{re.escape(app.url)}/(\?|$)"))
    page.goto(f"{app.url}/?tab=https://elsewhere.example")
    page.wait_for_function(DRAWN)
    expect(page).to_have_url(re.compile(f"^{re.escape(app.url)}"))
