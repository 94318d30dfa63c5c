"""Every view of a run, opened and used as a visitor would."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DRAWN, Visit, chosen, open_view, quiet
from tokenarium.ui.pages.explore import Explore

VIEWS = {view.slug: view.title for view in Explore.views}
DRAWN_AT_ONCE = ("attention", "predictions", "sinks", "heavy", "heads", "compare", "follow")

LONELY_POINT = """() => {
  const host = document.querySelector('#plot-scatter .js-plotly-plot'), full = host._fullLayout;
  host.scrollIntoView({block: 'center'});
  const box = host.getBoundingClientRect(), points = host.calcdata[0].map(point =>
    [full.xaxis.l2p(point.x), full.yaxis.l2p(point.y)]);
  const apart = points.map(([x, y], at) => Math.min(...points.map(([u, v], other) =>
    other === at ? Infinity : Math.hypot(u - x, v - y))));
  const at = apart.indexOf(Math.max(...apart));
  return [host.data[0].customdata[at], box.left + full._size.l + points[at][0],
    box.top + full._size.t + points[at][1]];
}"""
"""The head whose point is farthest from all others, and where it is drawn on the screen."""


def test_every_view_has_a_tab_in_its_place(page: Page) -> None:
    # Gradio puts tabs in their places once it has measured them.
    tabs = page.locator("#views [role=tab]")
    expect(tabs).to_have_text([*VIEWS.values()], use_inner_text=True)


@pytest.mark.parametrize("slug", DRAWN_AT_ONCE)
def test_a_view_is_drawn_when_it_is_opened(page: Page, slug: str) -> None:
    quiet(page)
    open_view(page, "Predictions" if slug == "attention" else "Attention")
    open_view(page, VIEWS[slug])
    page.wait_for_url(re.compile(f"[?&]view={slug}(&|$)"))
    page.wait_for_function(DRAWN)
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")


def test_threshold_and_length_change_the_sink_rate(page: Page) -> None:
    open_view(page, "Sinks")
    said = page.locator("#sinks-said")
    before = said.inner_text()
    page.locator("#sink-threshold input[type=number]").fill("0.6")
    page.keyboard.press("Tab")
    expect(said).to_contain_text("more than 60%")
    assert said.inner_text() != before
    page.locator("#sink-length input").click()
    page.get_by_role("option", name="the first 32 tokens").click()
    expect(said).to_contain_text("Over the first 32 tokens")


def test_a_row_of_a_table_chooses_its_token_and_its_head(page: Page) -> None:
    open_view(page, "Sinks")
    page.evaluate("window.tokenarium.select({token: 20, layer: 0, head: 0})")
    row = page.locator("#table-sinks tbody tr").first
    choosing = row.locator("button[data-select]")
    token = re.findall(r"\d+", choosing.nth(0).inner_text())[0]
    choosing.nth(0).click()
    expect(page.locator("#card")).to_contain_text(f"token {token} of")
    named = re.findall(r"\d+", choosing.nth(1).inner_text())
    choosing.nth(1).click()
    expect(page.locator("#card")).to_contain_text(f"In layer {named[0]}, head {named[1]}")
    assert [chosen(page)["layer"], chosen(page)["head"]] == [int(n) for n in named]


def test_heavy_hitters_follow_scope_and_forgetting(page: Page) -> None:
    open_view(page, "Heavy hitters")
    caption = page.locator("#table-heavy caption")
    expect(caption).to_contain_text("all heads")
    page.locator("#heavy-scope").get_by_text("the chosen head").click()
    expect(caption).to_contain_text("the chosen head")
    page.locator("#heavy-factor input").click()
    page.get_by_role("option", name="0.9", exact=True).click()
    expect(page.locator("#plot-accumulated .tk-frame")).to_have_attribute(
        "aria-label", re.compile(r"counts 0\.9\^k")
    )


def test_a_head_is_chosen_in_the_scatter_and_the_probe_measures(visit: Visit) -> None:
    page = visit("?run=example-small-model&view=heads")
    page.locator("#plot-scatter .js-plotly-plot .points").first.wait_for()
    quiet(page)
    head, across, down = page.evaluate(LONELY_POINT)
    page.mouse.move(across - 2, down - 2)
    page.mouse.move(across, down)
    page.locator("#plot-scatter .hoverlayer .hovertext").first.wait_for()
    # what is above may have grown meanwhile
    head, across, down = page.evaluate(LONELY_POINT)
    page.mouse.move(across, down)
    page.mouse.click(across, down)
    page.wait_for_function(
        "head => head.join() === [window.tokenarium.state.layer, window.tokenarium.state.head]"
        ".join()",
        arg=head,
    )
    page.locator("#probe").click()
    expect(page.locator("#plot-scatter .xtitle")).to_contain_text("echo score")
    expect(page.locator("#heads-up input")).to_have_value(re.compile("induction"))


def test_a_judged_text_has_scores_beside_chance_and_colours_the_strip(page: Page) -> None:
    page.get_by_role("tab", name=VIEWS["judge"], exact=True).click()
    page.locator("#judge").click()
    rows = page.locator("#table-judge-scores tbody tr")
    expect(rows).to_have_count(6)
    expect(rows.filter(has_text="Window entropy")).to_contain_text("chance")
    rows.get_by_role("button", name="Window entropy (ARES)").click()
    expect(page.locator(".tk-metrics [aria-checked=true]")).to_have_text("window entropy")
    expect(page.locator("#plot-judged .ytitle")).to_have_text("window entropy (nats)")
    page.wait_for_url(re.compile("metric=judge_window_entropy"))


def test_an_intervention_says_what_it_does_to_the_loss(page: Page) -> None:
    page.get_by_role("tab", name=VIEWS["intervene"], exact=True).click()
    page.locator("#intervention input").fill("Zero a head")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Read again with the change").click()
    said = page.locator("#intervene-said")
    expect(said).to_contain_text(re.compile(r"Zero a head: the loss over \d+ tokens goes from"))
    expect(said).to_contain_text("1 of 48 heads were changed (mask)")
    page.wait_for_function(DRAWN)
    open_view(page, "Attention")
    open_view(page, "Intervene")
    expect(said).to_contain_text("Zero a head: the loss over")


def test_a_wrong_parameter_is_named_and_the_page_goes_on(visit: Visit) -> None:
    page = visit("?run=example-small-model&view=intervene", wait=False)
    page.locator("#intervention input").fill("Calibrate sinks (ACT)")
    page.keyboard.press("Enter")
    page.get_by_label("Heads").last.fill("5.0, many")
    page.get_by_role("button", name="Read again with the change").click()
    expect(page.locator("#status [role=alert]")).to_contain_text("heads")
    page.locator("#tk-token-7").click()
    expect(page.locator("#card")).to_contain_text("token 7 of")


def test_two_runs_are_compared(page: Page) -> None:
    open_view(page, VIEWS["compare"])
    said = page.locator("#compare-said")
    expect(said).to_contain_text("heads switch between this run and")
    for start in ("Once upon a time", "Seven grey geese"):
        page.locator("#other-run input").click()
        page.get_by_role("option", name=start).first.click()
        expect(said).to_contain_text(f"heads switch between this run and “{start}")


def test_the_heartbeat_of_a_head_is_measured(visit: Visit) -> None:
    page = visit("?run=example-small-model&view=heartbeat", wait=False)
    page.locator("#beat").click()
    page.wait_for_function(DRAWN)
    expect(page.locator("#beat-said")).to_contain_text("of all pairs are active")
    page.locator("#table-heartbeat [data-select]").first.click()
    expect(page.locator("#card")).to_contain_text(f"token {chosen(page)['token']} of")


def test_a_token_is_followed(page: Page) -> None:
    open_view(page, VIEWS["follow"])
    quiet(page)
    page.locator("#tk-token-31").click()
    expect(page.locator("#follow-said")).to_contain_text("Token 31")
    page.wait_for_function(DRAWN)
    page.locator("#table-follow [data-select]").first.click()
    page.wait_for_function("window.tokenarium.state.token !== 31")
    expect(page.locator("#follow-said")).to_contain_text(f"Token {chosen(page)['token']} ")
