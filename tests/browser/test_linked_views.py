"""One selection: a click anywhere moves every view, the address, and Back undoes it."""

import re
from urllib.parse import parse_qs

from playwright.sync_api import Page, expect

from tests.browser.conftest import (
    DRAWN,
    LINE,
    Visit,
    Watch,
    chosen,
    open_controls,
    open_view,
    quiet,
)

CENTRE = """([name, x, y]) => {
  const host = document.querySelector(`#plot-${name} .js-plotly-plot`);
  host.scrollIntoView({block: 'center'});
  const full = host._fullLayout, box = host.getBoundingClientRect();
  return [box.left + full._size.l + full.xaxis.l2p(x), box.top + full._size.t + full.yaxis.l2p(y)];
}"""


def test_a_token_is_chosen_in_every_view(page: Page) -> None:
    page.locator("#tk-token-5").click()
    expect(page.locator("#tk-token-5")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#strip [aria-selected=true]")).to_have_count(1)
    expect(page.locator("#card")).to_contain_text(f"token 5 of {chosen(page)['tokens']}")
    assert address(page)["token"] == "5"
    for figure in ("received", "map"):
        marked(page, figure, "x", 5)
    marked(page, "map", "y", 5)
    open_view(page, "Predictions")
    for figure in ("predictability", "lens"):
        marked(page, figure, "x", 5)
    assert address(page)["view"] == "predictions"
    open_view(page, "Attention")
    expect(page.locator("#strip .tk-readout")).to_have_text(starts_with("token 5 "))


def test_figures_stay_whole_when_the_address_changes(page: Page) -> None:
    page.locator("#tk-token-6").click()
    assert address(page)["token"] == "6"
    # What a clip path or a gradient names must be in this document, whatever its address.
    assert page.locator("base").count() == 0
    addresses = page.locator(".tk-plot:has(.main-svg)").evaluate_all(
        "all => all.map(e => "
        "[...e.innerHTML.matchAll(/url\\((?:&quot;|')?([^#]*)#/g)].map(m => m[1]))"
    )
    assert len(addresses) >= 3
    assert all(addresses)
    assert {where for used in addresses for where in used} == {""}


def test_keys_alone_move_token_layer_and_head(page: Page) -> None:
    page.evaluate("window.tokenarium.select({token: 0})")
    page.locator(".tk-stories a").first.focus()
    start = chosen(page)
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "listbox":
            break
    else:
        raise AssertionError("the strip is not reached with Tab")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    expect(page.locator("#card")).to_contain_text(f"token 2 of {start['tokens']}")
    expect(page.locator(".tk-strip")).to_have_attribute("aria-activedescendant", "tk-token-2")
    page.keyboard.press("End")
    expect(page.locator("#card")).to_contain_text(f"token {start['tokens'] - 1} of")
    page.keyboard.press("ArrowRight")
    assert chosen(page)["token"] == start["tokens"] - 1
    page.keyboard.press("Home")
    layer = start["layer"] - 1 if start["layer"] else 1
    page.keyboard.press("k" if start["layer"] else "j")
    head = start["head"] - 1 if start["head"] else 1
    page.keyboard.press("[" if start["head"] else "]")
    expect(page.locator("#plot-map .tk-frame")).to_have_attribute(
        "aria-label", starts_with(f"Attention map of layer {layer}, head {head}")
    )
    expect(page.locator("#card")).to_contain_text("token 0 of")
    expect(page.locator("#card")).to_contain_text(f"In layer {layer}, head {head}")


def test_typing_a_text_moves_nothing(page: Page) -> None:
    before = chosen(page)["token"]
    page.locator("#text textarea").click()
    page.keyboard.type("j]")
    page.keyboard.press("ArrowRight")
    page.locator(".tk-metrics [data-metric=surprisal]").click()
    page.keyboard.press("ArrowRight")
    state = chosen(page)
    assert state["token"] == before
    assert state["metric"] == "entropy"


def test_a_click_on_the_grid_opens_its_head(page: Page) -> None:
    state = chosen(page)
    layer, head = (state["layer"] + 1) % state["layers"], (state["head"] + 1) % state["heads"]
    click(page, "grid", head, layer)
    name = f"layer {layer}, head {head}"
    expect(page.locator("#plot-map .tk-frame")).to_have_attribute(
        "aria-label", starts_with(f"Attention map of {name}")
    )
    expect(page.locator("#plot-received .legend")).to_contain_text(name)
    expect(page.locator("#card")).to_contain_text(f"In {name}")
    assert (address(page)["layer"], address(page)["head"]) == (str(layer), str(head))
    marked(page, "grid", "x", head)
    marked(page, "grid", "y", layer)
    # The picture under the selection must not have moved by choosing what it shows.
    assert chosen(page)["token"] == state["token"]


def test_a_click_on_the_map_chooses_key_and_query(page: Page) -> None:
    click(page, "map", 10, 60)
    page.wait_for_function("Number.isInteger(window.tokenarium?.state.query)")
    state = chosen(page)
    assert abs(state["token"] - 10) <= 1
    assert abs(state["query"] - 60) <= 1
    expect(page.locator(f"#tk-token-{state['token']}")).to_have_attribute("aria-selected", "true")
    query = page.locator(f"#tk-token-{state['query']}")
    expect(query).to_have_class(re.compile(r"\btk-query\b"))
    expect(page.locator("#card")).to_contain_text(f"token {state['token']} of")
    assert address(page)["query"] == str(state["query"])
    marked(page, "map", "y", state["query"])


def test_another_metric_recolours_without_a_request(page: Page, module_watch: Watch) -> None:
    quiet(page)
    before, asked = colours(page), module_watch.asked(page)
    page.locator(".tk-metrics [data-metric=surprisal]").click()
    expect(page.locator(".tk-metrics [data-metric=surprisal]")).to_have_attribute(
        "aria-checked", "true"
    )
    assert colours(page) != before
    expect(page.locator(".tk-legend")).to_contain_text("nats")
    page.mouse.move(5, 5)
    expect(page.locator(".tk-readout")).to_contain_text("surprisal")
    assert address(page)["metric"] == "surprisal"
    page.wait_for_timeout(500)
    assert module_watch.asked(page) == asked


def test_a_hover_stays_in_the_browser(page: Page, module_watch: Watch) -> None:
    quiet(page)
    asked = module_watch.asked(page)
    page.locator("#tk-token-7").hover()
    expect(page.locator(".tk-readout")).to_have_text(starts_with("token 7 "))
    expect(page.locator("#plot-received .tk-hover-x")).to_be_visible()
    page.wait_for_timeout(500)
    assert module_watch.asked(page) == asked


def test_the_link_restores_run_and_selection(visit: Visit) -> None:
    page = visit()
    open_controls(page)
    page.get_by_role("button", name="Said twice").click()
    page.wait_for_function("window.tokenarium?.state.run === 'example-said-twice'")
    page.locator("#tk-token-9").click()
    click(page, "grid", 1, 2)
    page.locator(".tk-metrics [data-metric=entropy]").click()
    expect(page.locator("#card")).to_contain_text("In layer 2, head 1")
    link, said = page.evaluate("location.href"), page.locator("#strip .tk-strip").inner_text()
    again = visit(link)
    again.wait_for_function("window.tokenarium?.state.run === 'example-said-twice'")
    expect(again.locator("#card")).to_contain_text("token 9 of")
    expect(again.locator("#card")).to_contain_text("In layer 2, head 1")
    expect(again.locator("#strip .tk-strip")).to_have_text(said, use_inner_text=True)
    assert chosen(again)["metric"] == "entropy"
    expect(again.locator(".tk-metrics [data-metric=entropy]")).to_have_attribute(
        "aria-checked", "true"
    )
    assert colours(again) == colours(page)
    expect(again).to_have_url(link)


def test_back_undoes_a_click_and_forward_repeats_it(visit: Visit) -> None:
    page = visit()
    page.locator("#tk-token-3").click()
    page.locator("#tk-token-8").click()
    open_controls(page)
    page.get_by_role("button", name="One wrong word").click()
    page.wait_for_function("window.tokenarium?.state.run === 'example-one-wrong-word'")
    page.go_back()
    page.wait_for_function("window.tokenarium?.state.run === 'example-small-model'")
    expect(page.locator("#card")).to_contain_text("token 8 of")
    page.go_back()
    expect(page.locator("#card")).to_contain_text("token 3 of")
    assert address(page)["token"] == "3"
    page.go_back()
    expect(page.locator("#card")).to_contain_text("token 0 of")
    page.go_forward()
    expect(page.locator("#card")).to_contain_text("token 3 of")


def test_a_link_to_nothing_is_said_and_the_example_stays(visit: Visit) -> None:
    page = visit("?run=nowhere&token=5")
    expect(page.locator("#status [role=alert]")).to_contain_text("nowhere")
    assert page.evaluate(DRAWN)


def click(page: Page, figure: str, x: int, y: int) -> None:
    across, down = page.evaluate(CENTRE, [figure, x, y])
    # Plotly takes a click for the point that it has seen hovered.
    page.mouse.move(across - 2, down - 2)
    page.mouse.move(across, down)
    page.locator(f"#plot-{figure} .hoverlayer .hovertext").first.wait_for()
    page.mouse.click(across, down)


def marked(page: Page, figure: str, side: str, place: int) -> None:
    """Wait until a figure marks a place of its axis."""
    page.wait_for_function(
        f"([figure, side, place]) => ({LINE})([figure, side]) === place", arg=[figure, side, place]
    )


def address(page: Page) -> dict[str, str]:
    query = page.evaluate("location.search.slice(1)")
    return {name: values[0] for name, values in parse_qs(query).items()}


def colours(page: Page) -> list[str]:
    found: list[str] = page.locator("#strip .tk-token").evaluate_all(
        "all => all.map(e => (e.className.match(/tk-(l[0-9]+|none)/) || [])[0])"
    )
    return found


def starts_with(text: str) -> re.Pattern[str]:
    return re.compile("^" + re.escape(text))
