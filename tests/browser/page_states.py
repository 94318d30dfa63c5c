"""Every page and view of the application, each in a state that shows it."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from tests.browser.conftest import DRAWN, open_controls

Prepare = Callable[[Page], None]


def explored(page: Page) -> None:
    page.wait_for_function(DRAWN)


def in_pixels(page: Page) -> None:
    page.locator(".tk-pixels canvas").first.wait_for()
    page.wait_for_function("document.querySelector('#views .main-svg .cartesianlayer')")


def chat_and_error(page: Page) -> None:
    explored(page)
    open_controls(page)
    page.get_by_role("radio", name="Chat").click()
    page.get_by_role("button", name="Add a turn").click()
    page.locator("#turns textarea").first.fill("")
    page.locator("#turns textarea").last.fill("")
    page.locator("#run").click()
    expect(page.locator("#status [role=alert]")).to_be_visible()


def measured(page: Page) -> None:
    explored(page)
    page.locator("#beat").click()
    page.locator("#plot-heartbeat .main-svg").first.wait_for()


def probed(page: Page) -> None:
    explored(page)
    page.locator("#probe").click()
    expect(page.locator("#plot-scatter .xtitle")).to_contain_text("echo score")


def changed(page: Page) -> None:
    explored(page)
    page.get_by_role("button", name="Read again with the change").click()
    expect(page.locator("#intervene-said")).to_contain_text("the loss over")
    explored(page)


def lanes(page: Page) -> None:
    expect(page.locator(".tk-lane")).to_have_count(5)
    page.locator("#plot-cache_map .main-svg").first.wait_for()


def swept(page: Page) -> None:
    lanes(page)
    expect(page.locator("#sweep-sentence")).to_contain_text("points measured")


def guessed(page: Page) -> None:
    page.locator(".tk-tree .tk-node").first.wait_for()
    page.locator("#plot-by_depth .main-svg").first.wait_for()


def raced(page: Page) -> None:
    guessed(page)
    page.locator("#race .tk-racer").first.wait_for()


@dataclass(frozen=True)
class State:
    """A page in a state of its own, and where its results begin."""

    address: str
    prepare: Prepare
    results: str = "#sentence"


def languages(page: Page) -> None:
    page.wait_for_selector(".tk-cuts-languages table")
    page.locator(".tk-cut").first.click()


def next_byte(page: Page) -> None:
    page.wait_for_selector("#cuts-panel form")
    page.get_by_role("tabpanel").get_by_label("Model", exact=True).select_option("bundled/target")
    page.get_by_role("button", name="Next byte").click()
    page.wait_for_selector(".tk-cuts-bars")


def swapped(page: Page) -> None:
    expect(page.locator("#cuts-panel .tk-cuts-bars tbody tr")).to_have_count(4)


def judged(page: Page) -> None:
    explored(page)
    page.locator("#judge").click()
    expect(page.locator("#table-judge-scores tbody tr").first).to_be_visible()
    page.locator("#plot-judged .main-svg").first.wait_for()


def written(page: Page) -> None:
    expect(page.locator(".tk-dec-token").first).to_be_visible()
    page.locator("#plot-doubt .main-svg").first.wait_for()
    page.locator(".tk-dec-token").nth(4).click()
    expect(page.locator(".tk-dec-card .tk-card-title")).to_contain_text("step")


def drawn(name: str) -> Prepare:
    """Return what waits until a figure is drawn."""
    return lambda page: page.locator(f"#plot-{name} .main-svg").first.wait_for()


def searched(page: Page) -> None:
    page.wait_for_selector("#library tr[data-run]")
    page.get_by_label("Examples").select_option("The ten strongest sinks of all runs")
    page.wait_for_function("document.querySelector('#plot-query .cartesianlayer .point')")


def beside(page: Page) -> None:
    page.wait_for_function(
        "document.querySelectorAll('#compare .js-plotly-plot .main-svg').length > 2"
    )


def audited(page: Page) -> None:
    page.get_by_role("button", name="One word changed").click()
    page.locator("#audit-go").click()
    expect(page.locator("#audit-said")).to_contain_text("Wrong")
    page.get_by_role("button", name="vLLM, detailed").click()
    page.locator("#import-read").click()
    expect(page.locator(".tk-import-round").first).to_be_visible()


def taught(page: Page) -> None:
    page.get_by_role("button", name="Begin a class").click()
    expect(page.locator(".tk-class-link a")).to_have_count(2)
    page.goto(page.locator(".tk-class-link a").last.get_attribute("href") or "")
    expect(page.locator(".tk-class-table table")).to_be_visible()


SMALL = "?run=example-small-model&view="
STATES = {
    "attention": State(f"{SMALL}attention", explored),
    "chat": State(f"{SMALL}follow", chat_and_error),
    "predictions": State(f"{SMALL}predictions", explored),
    "sinks": State(f"{SMALL}sinks&token=1", explored),
    "heavy": State(f"{SMALL}heavy", explored),
    "heartbeat": State(f"{SMALL}heartbeat", measured),
    "heads": State(f"{SMALL}heads", probed),
    "judge": State(f"{SMALL}judge", judged),
    "intervene": State(f"{SMALL}intervene", changed),
    "compare": State(f"{SMALL}compare", explored),
    "pixels": State(f"{SMALL}attention&density=pixel&unit=word", in_pixels),
    "cache": State("cache", lanes),
    "trade-off": State("cache?sweep=example-a-hidden-number", swept),
    "speculate": State("speculate", guessed),
    "race": State("speculate?race=example-guessed-ahead.example-said-before", raced),
    "edit": State("cache?edit=example-another-password", drawn("edit_kl")),
    "decode": State("decode", written),
    "beams": State("decode?run=example-four-roads-at-once", written),
    "why": State("why", drawn("attribution_bars")),
    "methods": State(
        "why?methods=example-why-warsaw.example-warsaw-by-heads", drawn("methods_maps")
    ),
    "patch": State("why?patch=example-where-paris-is", drawn("patch_residual")),
    "ablate": State("why?ablate=example-without-a-part", drawn("ablation_heads")),
    "reduce": State("why?reduce=example-half-of-the-channels", drawn("reduction_loss")),
    "audit": State("audit", audited, "#audit-go"),
    "library": State("library", searched, "#library tr[data-run]"),
    "compared traces": State(
        "compare?runs=example-one-wrong-word,example-said-twice", beside, ".tk-compare-said"
    ),
    "compared decodings": State(
        "compare?runs=example-where-it-hesitates,example-four-roads-at-once",
        beside,
        ".tk-compare-said",
    ),
    "learn": State("learn", taught, "h1"),
    "all heads": State(
        "heads", lambda page: page.wait_for_selector(".tk-usual-list table"), "#usual-heads"
    ),
    "usual heads": State(
        "heads?layer=3&head=5",
        lambda page: page.wait_for_selector(".tk-usual-list table"),
        "#usual-heads",
    ),
    "tokens": State("tokens", languages, "#cuts .tk-cut-strip"),
    "next byte": State("tokens?view=byte", next_byte, "#cuts .tk-cut-strip"),
    "new tokens": State(
        "tokens?view=added&run=example-rare-words-whole", swapped, "#cuts .tk-cut-strip"
    ),
    "endpoints": State("endpoints", lambda page: None, "h1"),
}


def shown() -> dict[str, set[str]]:
    """Return by page what its states show of it: names of views and of further sections."""
    found: dict[str, set[str]] = {}
    for state in STATES.values():
        parts = urlsplit(state.address)
        asked = parse_qs(parts.query)
        found.setdefault(parts.path, set()).update(asked.get("view", []), asked)
    return found
