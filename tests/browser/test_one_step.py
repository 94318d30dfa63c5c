"""One step for everything on Cache, one round for everything on Speculate."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import LINE, SHOWN, Visit, chosen
from tokenarium.backend import CacheResult, SpeculationResult
from tokenarium.backend.runs.examples import declared, read
from tokenarium.backend.runs.kind import KINDS

FIGURES = {"cache_bytes": "x", "cache_time": "x", "cache_kl": "x", "cache_lost": "x"}


@pytest.fixture
def cache(visit: Visit) -> Page:
    page = visit("cache?policy=recent", wait=False)
    page.wait_for_function(SHOWN["cache"])
    page.wait_for_function(
        "() => ['cache_bytes', 'cache_time', 'cache_kl', 'cache_lost', 'cache_map'].every("
        "name => document.querySelector(`#plot-${name} .main-svg .cartesianlayer`))"
    )
    return page


def at_step(page: Page, step: int) -> None:
    """Check that everything on the page is at a step."""
    expect(page.get_by_label("Decode step")).to_have_value(str(step))
    assert chosen(page)["step"] == step
    for name, side in (*FIGURES.items(), ("cache_map", "y")):
        page.wait_for_function(
            f"([place, step]) => ({LINE})(place) === step", arg=[[name, side], step]
        )
    expect(page.locator(".tk-lane .tk-next")).to_have_count(5)


def test_a_cache_run_opens_at_its_first_step(cache: Page) -> None:
    at_step(cache, 0)
    expect(cache.locator(".tk-scrub output").first).to_have_text("after the prompt")


def test_scrubber_keys_address_figures_and_scores_are_one(cache: Page) -> None:
    page = cache
    page.get_by_label("Decode step").fill("12")
    at_step(page, 12)
    page.locator("#sentence").click()
    page.keyboard.press("ArrowRight")
    at_step(page, 13)
    page.wait_for_url(re.compile(r"[?&]step=13(&|$)"))
    page.evaluate("window.tokenarium.select({policy: 'h2o'})")
    scores = page.locator("#plot-cache_scores .tk-frame")
    for step in (13, 40):
        page.evaluate("step => window.tokenarium.select({step})", step)
        expect(scores).to_have_attribute("aria-label", re.compile(rf"at step {step}, "))
    page.go_back()
    at_step(page, 13)


def test_the_first_difference_is_one_press_away(cache: Page) -> None:
    result = read(KINDS.find("cache").examples[0]).result
    assert isinstance(result, CacheResult)
    first = min(step for step in result.first_divergence.tolist() if step >= 0)
    cache.get_by_role("button", name="to the first difference").click()
    at_step(cache, first)
    cache.wait_for_url(re.compile(rf"[?&]step={first}(&|$)"))
    apart = cache.locator(".tk-lane .tk-next[data-apart]")
    assert apart.count() == int((result.top1_agree[:, first] == 0).sum())


def test_a_round_is_one_for_text_rounds_tree_keys_and_address(visit: Visit) -> None:
    page = visit("speculate", wait=False)
    page.wait_for_function(SHOWN["speculate"])
    title = page.locator(".tk-tree-head h2")
    expect(title).to_have_text(re.compile("^Round 1 of"))
    page.locator("#sentence").click()
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text(re.compile("^Round 2 of"))
    expect(page.locator(".tk-rounds")).to_have_attribute("aria-valuenow", "2")
    page.wait_for_url(re.compile(r"[?&]round=1(&|$)"))
    page.locator(".tk-round").nth(4).click()
    expect(title).to_have_text(re.compile("^Round 5 of"))
    page.wait_for_url(re.compile(r"[?&]round=4(&|$)"))
    page.go_back()
    expect(title).to_have_text(re.compile("^Round 2 of"))
    page.goto(page.url.replace("round=1", "round=6&node=0"))
    expect(title).to_have_text(re.compile("^Round 7 of"))
    expect(page.locator(".tk-node-card")).to_contain_text("newest token")


def test_the_first_wrong_guess_is_one_press_away_or_there_is_none(visit: Visit) -> None:
    page = visit("speculate", wait=False)
    page.wait_for_function(SHOWN["speculate"])
    page.get_by_role("button", name="to the first wrong guess").click()
    expect(page.locator(".tk-tree .tk-f-residual_resample").first).to_be_visible()
    result = read(next(each for each in declared() if each.slug == "said-before")).result
    assert isinstance(result, SpeculationResult)
    assert int(result.rounds["accepted_len"].sum()) == int(result.rounds["verified"].sum())
    page.goto(page.url.split("?")[0] + "?run=example-said-before")
    expect(page.get_by_role("button", name="no wrong guess")).to_be_disabled()
