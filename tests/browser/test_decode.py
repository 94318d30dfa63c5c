"""The Decode page in a browser: a run that is watched, a branch at a click, roads, an import."""

import json

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, choose_model, chosen, finished, open_controls, run_text

TEXT = "The dog and the cat"


def opened(visit: Visit) -> Page:
    page = visit("decode", wait=False)
    expect(page.locator(".tk-dec-token").first).to_be_visible()
    return page


def texts(page: Page, lane: int) -> list[str]:
    return page.locator(".tk-dec-lane").nth(lane).locator(".tk-dec-token").all_inner_texts()


def test_a_run_is_watched_and_its_text_branches_at_a_click(visit: Visit) -> None:
    page = opened(visit)
    open_controls(page)
    page.locator("#max-new-tokens input").fill("96")
    page.locator("#max-new-tokens input").press("Tab")
    page.evaluate(SEEN)
    run_text(page, TEXT)
    drawn = page.evaluate("window.drawn")
    expect(page.locator(".tk-dec-token")).to_have_count(drawn[-1])
    assert any(0 < count < drawn[-1] for count in drawn), "no text was seen while it was written"
    last = page.locator(".tk-dec-lane").count() - 1
    assert last > 0, "plain decoding is beside another strategy"
    first, written = chosen(page)["run"], texts(page, last)
    page.locator(".tk-dec-lane").nth(last).locator(".tk-dec-token").nth(4).click()
    expect(page.locator(".tk-dec-card .tk-card-title")).to_contain_text("step 5,")
    page.locator(".tk-scrub input").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".tk-scrub output")).to_have_text("step 4 of 96")
    expect(page.locator(".tk-dec-card .tk-card-title")).to_contain_text("step 4,")
    other = page.locator(".tk-dec-card .tk-road:not([disabled])").first
    taken = other.inner_text()
    other.click()
    finished(page, first)
    expect(page.locator(".tk-dec-lane").first.locator(".tk-dec-token").nth(3)).to_have_text(taken)
    for lane in range(page.locator(".tk-dec-lane").count()):
        branch = texts(page, lane)
        assert branch[:3] == written[:3]
        assert branch[3].strip() == taken.strip() != written[3].strip()
    roads, beside = page.locator(".tk-road-line"), page.locator(".tk-road-line:not(.tk-own)")
    left = beside.filter(has=page.locator(".tk-apart", has_text=written[3].strip())).first
    left.get_by_role("button", name="name").click()
    left.get_by_role("textbox").fill("the first one")
    left.get_by_role("textbox").press("Enter")
    named = beside.filter(has_text="the first one").first
    expect(named).to_be_visible()
    count = roads.count()
    page.locator(".tk-road-tree .tk-node.tk-f-beside").last.click()
    expect(roads).to_have_count(count - 1)
    assert "roads=" in page.url
    page.reload()
    expect(roads).to_have_count(count - 1)
    named.get_by_role("button", name="prune").click()
    expect(page.get_by_role("button", name="show 1 pruned")).to_be_visible()
    expect(roads).to_have_count(1)
    page.get_by_role("button", name="show 1 pruned").click()
    named.get_by_role("link", name="open").click()
    page.wait_for_function("run => window.tokenarium?.state.run === run", arg=first)
    expect(page.locator(".tk-dec-lane")).to_have_count(last + 1)
    assert texts(page, last) == written


def test_another_token_on_explore_is_a_click_away_from_the_text_it_leads_to(visit: Visit) -> None:
    page = visit("")
    run_text(page, TEXT)
    page.locator("#strip .tk-token").nth(3).click()
    expect(page.locator("#card .tk-sub").first).to_contain_text("token 3 of")
    fork = page.locator(".tk-expect > div").first.locator("li:not(.tk-hit) .tk-fork").first
    other = fork.inner_text()
    fork.click()
    page.wait_for_url("**/decode?run=*")
    expect(page.locator(".tk-dec-token").first).to_have_text(other)
    assert "branch=" not in page.url
    read = page.locator("#text textarea").input_value()
    assert TEXT.startswith(read)
    assert page.locator(".tk-dec-prompt").inner_text().endswith(read)
    page.go_back()
    expect(page.locator(".tk-fork").first).to_be_visible()


def test_a_pasted_response_is_shown_without_a_model(visit: Visit) -> None:
    page = opened(visit)
    top = [("He", -0.5), ("<b>It</b>", -1.2)]
    listed = [{"token": token, "logprob": log, "bytes": None} for token, log in top]
    content = [{**listed[0], "top_logprobs": listed}, {**listed[1], "top_logprobs": []}]
    choice = {"index": 0, "finish_reason": "stop", "logprobs": {"content": content}}
    run_text(page, json.dumps({"id": "a", "object": "chat.completion", "choices": [choice]}))
    assert texts(page, 0) == ["He", "<b>It</b>"]
    expect(page.locator("#sentence")).to_contain_text("lower bounds")
    expect(page.locator(".tk-dec-card .tk-road")).to_have_text(["He", "<b>It</b>"])
    for road in page.locator(".tk-dec-card .tk-road").all():
        expect(road).to_be_disabled()
    expect(page.locator("#plot-doubt .main-svg .cartesianlayer").first).to_be_visible()


SEEN = """() => {
  const lanes = document.querySelector('.tk-dec-lanes');
  window.drawn = [];
  new MutationObserver(() => window.drawn.push(lanes.querySelectorAll('.tk-dec-token').length))
    .observe(lanes, {childList: true});
}"""
"""Notes how many tokens there are whenever the lanes are drawn."""


def test_what_a_strategy_builds_on_is_measured_and_found_again(visit: Visit) -> None:
    page = opened(visit)
    open_controls(page)
    choose_model(page, "bundled/target")
    page.locator("#max-new-tokens input").fill("12")
    page.locator("#max-new-tokens input").press("Tab")
    page.locator("#strategies input").fill("AdaDec")
    page.keyboard.press("Enter")
    run_text(page, TEXT)
    said = page.locator("#premises li", has_text="AdaDec")
    expect(said).to_contain_text("builds on this:")
    expect(said).to_contain_text("it needs at")
    figure = page.locator("#plot-premise_figure .main-svg").first
    expect(figure).to_be_visible()
    shown = said.inner_text()
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
    page.reload()
    expect(said).to_have_text(shown)
    expect(figure).to_be_visible()
