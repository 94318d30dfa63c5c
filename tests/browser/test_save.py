"""What leaves the page: the menu by mouse and keyboard."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import SHOWN, App, Visit, chosen
from tests.labs import shipped_lab
from tokenarium.backend import Lab
from tokenarium.ui.figures.marks import marks_csv

ASKED = """performance.getEntriesByType('resource')
  .filter(entry => entry.name.includes('component_server')).length"""
"""How often files were asked for."""
CAPTION = """([part, run]) => document.querySelector(`#plot-${part} .js-plotly-plot`)
  ?.layout?.meta?.caption.endsWith(`run ${run}`)"""
"""Whether a figure is of a run."""
FOCUS = "document.activeElement.textContent"


@pytest.fixture(autouse=True)
def _closed(page: Page) -> None:
    page.keyboard.press("Escape")


def test_the_menu_is_used_by_the_keyboard_alone(page: Page) -> None:
    button = page.get_by_role("button", name="Save", exact=True)
    before = chosen(page)
    button.focus()
    page.keyboard.press("ArrowDown")
    items = page.get_by_role("menuitem").all_inner_texts()
    assert len(items) > 5
    assert page.evaluate(FOCUS) == items[0]
    page.keyboard.press("ArrowDown")
    assert page.evaluate(FOCUS) == items[1]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(FOCUS) == items[-1]
    page.keyboard.press("Home")
    assert page.evaluate(FOCUS) == items[0]
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(button).to_be_focused()
    assert chosen(page) == before, "the arrows of the menu are not the page's"
    page.keyboard.press("Enter")
    with page.expect_download() as started:
        page.keyboard.press("Enter")
    assert started.value.suggested_filename.endswith("-tokens.csv")
    expect(button).to_be_focused()


@pytest.mark.parametrize("path", ["cache", "speculate"])
def test_every_section_in_sight_can_be_saved_on_a_narrow_page(visit: Visit, path: str) -> None:
    page = visit(path, wait=False)
    page.set_viewport_size({"width": 390, "height": 700})
    page.wait_for_function(SHOWN[path])
    before = page.evaluate(ASKED)
    page.get_by_role("button", name="Save", exact=True).click()
    box = page.get_by_role("menu").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert box["y"] + box["height"] <= 700
    assert page.evaluate(ASKED) == before, "nothing is made before it is chosen"
    with page.expect_download() as started:
        page.get_by_role("menuitem", name="Notebook that computes it again").click()
    assert json.loads(Path(started.value.path()).read_text("utf-8"))["nbformat"] == 4
    page.get_by_role("button", name="Save", exact=True).click()
    page.mouse.click(5, 690)
    expect(page.get_by_role("menu")).to_have_count(0)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


FIGURES = [
    ("?run=example-first-token&view=attention", "run", {"grid": "heads", "received": "received"}),
    ("?run=example-first-token&view=sinks", "run", {"sink_grid": "sinks"}),
    ("cache?run=example-what-is-kept&sweep=example-a-hidden-number", "run",
     {"cache_kl": "cost", "cache_lost": "lost", "cache_map": "held"}),
    ("cache?sweep=example-a-hidden-number", "sweep", {"sweep_bytes": "tradeoff"}),
    ("speculate?run=example-said-before", "run",
     {"by_depth": "by_depth", "fates": "fates", "time": "time"}),
]  # fmt: skip
"""Addresses, the section whose run they show, and by part of the page the name of a figure."""


@pytest.mark.parametrize(("address", "section", "figures"), FIGURES, ids=lambda part: str(part)[:9])
def test_the_table_behind_a_figure_is_what_python_gives(
    visit: Visit, lab: Lab, address: str, section: str, figures: dict[str, str]
) -> None:
    page = visit(address, wait=False)
    for part, name in figures.items():
        figure = page.locator(f"#plot-{part}")
        shown = dict(parse_qsl(urlsplit(address).query))[section]
        page.wait_for_function(CAPTION, arg=[part, shown])
        wanted = rows(marks_csv(lab.open(shown).figure(name)))
        found = rows(saved(page, figure, "CSV").decode())
        assert found[0] == wanted[0]
        assert len(found) == len(wanted)
        for one, other in zip(found[1:], wanted[1:], strict=True):
            assert all(map(same, one, other)), (name, one, other)


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def same(one: str, other: str) -> bool:
    """Return whether cells have the same text, or the same number of 32 bits."""
    try:
        return one == other or np.float32(one) == np.float32(other)
    except ValueError:
        return False


def saved(page: Page, view: Locator, form: str) -> bytes:
    """Return what a figure's own menu saves."""
    view.locator(".tk-save").click()
    with page.expect_download() as started:
        page.get_by_role("menuitem", name=f"({form})").click()
    assert started.value.suggested_filename.endswith(f".{form.lower()}")
    return Path(started.value.path()).read_bytes()


def test_a_picture_says_what_it_is_of_and_is_dark_on_white_from_a_dark_page(visit: Visit) -> None:
    page = visit("?run=example-first-token&view=attention&token=4&__theme=dark")
    expect(page.locator("body.dark")).to_have_count(1)
    page.wait_for_function(CAPTION, arg=["received", "example-first-token"])
    figure = page.locator("#plot-received")
    picture = saved(page, figure, "SVG").decode()
    words = " ".join(ElementTree.fromstring(picture).itertext())
    for part in (
        *("Who is attended to", "Attention received by every token", "mean attention"),
        *("token position", "Prompt: “The old lighthouse", "smollm2-135m-instruct", "seed 0"),
        *("run example-first-token", f"{urlsplit(page.url).netloc}/?run=", "token=4"),
    ):
        assert part in words.replace("\xa0", " "), part
    assert re.match(r'<svg[^>]*><rect x="0" y="0"[^>]*fill: rgb\(255, 255, 255\)', picture)
    texts = re.findall(r"<text[^>]*style=\"[^\"]*fill: rgb\((\d+), (\d+), (\d+)\)", picture)
    assert texts
    assert all(max(map(int, ink)) < 120 for ink in texts), "readable on white"
    assert saved(page, figure, "PNG").startswith(b"\x89PNG")
    page.get_by_role("button", name="Save", exact=True).click()
    with page.expect_download():
        page.get_by_role("menuitem", name="Who is attended to: Picture (SVG)").click()


def test_parts_stand_in_a_frame_of_another_site_and_lead_back(
    browser: Browser, app: App, visit: Visit, another_site: Callable[[str], str]
) -> None:
    page = visit("?run=example-first-token&view=attention&token=4")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("menuitem", name="Embed in another page").click()
    dialog = page.get_by_role("dialog", name="Embed")
    for box in dialog.get_by_role("checkbox").all():
        box.uncheck()
    code = dialog.get_by_role("textbox")
    expect(code).to_have_value("Choose at least one part.")
    dialog.get_by_label("Attention map").check()
    snippet = code.input_value()
    assert "embed=map" in snippet
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)

    # Another site, whose page has such a frame and one of the whole page.
    body = f"<body style='margin:0'>{snippet}<iframe src='{app.url}/'></iframe>"
    other = browser.new_page(viewport={"width": 390, "height": 700})
    other.goto(another_site(body))
    framed = other.frame_locator("iframe").first
    framed.locator("#plot-map .main-svg .cartesianlayer").first.wait_for(state="attached")
    frame = next(each for each in other.frames if "embed=map" in each.url)
    frame.wait_for_function("window.tokenarium.state.token === 4")
    assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert frame.evaluate("document.documentElement.scrollHeight <= innerHeight + 1")
    for hidden in ("#run", "#strip", ".tk-head", ".tk-pages", "#text", "#views > .tab-wrapper"):
        assert not framed.locator(hidden).first.is_visible(), hidden
    back = framed.get_by_role("link", name="Open in Tokenarium").get_attribute("href")
    assert back is not None
    assert "embed" not in back
    assert {"run=example-first-token", "token=4"} <= set(urlsplit(back).query.split("&"))
    assert other.frames[-1].url.startswith("chrome-error"), "the whole page is not framed"
    other.close()


PAGES = {
    "tokens?text=a+b+cafe&embed=strip": ("#cuts-strip .tk-cut", ".tk-cuts-form, #cuts-counts"),
    "heads?layer=3&head=5&embed=head": ("#usual-head h2", ".tk-usual-bar, #usual-list"),
    "compare?runs=example-one-wrong-word,example-said-twice&embed=text": (
        ".tk-place-stack", ".tk-compare-runs, #compare-said, #compare-places, #compare-table",
    ),
    "library?text=lighthouse&kind=cache&embed=runs": (
        "#library tr[data-run]", ".tk-lib-filters, #query, #holdings, tr [data-do], tr input",
    ),
}  # fmt: skip
"""By address, what a frame shows and what it hides."""


def test_pages_of_no_run_give_parts_of_theirs_too(
    browser: Browser, app: App, visit: Visit, another_site: Callable[[str], str]
) -> None:
    page = visit(next(iter(PAGES)).partition("&embed")[0], wait=False)
    page.locator("#cuts-strip .tk-cut").first.wait_for()
    page.get_by_role("button", name="Save", exact=True).press("ArrowDown")
    with page.expect_download() as started:
        page.get_by_role("menuitem", name="under each tokenizer: Table").press("Enter")
    head, *pieces = rows(Path(started.value.path()).read_text("utf-8"))
    assert head == ["tokenizer", "token", "text", "tokens", "ids", "bytes"]
    for title in {piece[0] for piece in pieces}:
        assert "".join(piece[2] for piece in pieces if piece[0] == title) == "a b cafe"
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("menuitem", name="Embed in another page").click()
    dialog = page.get_by_role("dialog", name="Embed")
    for box in dialog.get_by_role("checkbox").all():
        box.uncheck()
    dialog.get_by_label("The text under each tokenizer").check()
    assert (
        f"{app.url}/{next(iter(PAGES))}".replace("&", "&amp;")
        in dialog.get_by_role("textbox").input_value()
    )

    frames = "".join(f"<iframe width=900 src='{app.url}/{address}'></iframe>" for address in PAGES)
    other = browser.new_page()
    other.goto(another_site(frames))
    for number, (address, (seen, hidden)) in enumerate(PAGES.items()):
        framed = other.frame_locator("iframe").nth(number)
        framed.locator(seen).first.wait_for()
        for each in [*framed.locator(hidden).all(), *framed.locator(".tk-head, #actions").all()]:
            assert not each.is_visible(), address
        back = framed.get_by_role("link", name="Open in Tokenarium").get_attribute("href")
        assert back is not None
        asked = address.partition("&embed")[0].replace("+", "%20")
        assert unquote(asked) in unquote(back.replace("+", "%20")), back
    other.close()


@pytest.mark.parametrize(
    ("address", "path", "title", "words"),
    [
        ("?run=example-first-token", "", "Tokens by", ["The", "lighthouse"]),
        ("cache?run=example-what-is-kept&step=5", "cache", "What each policy",
         ["H2O", "holds 48 of"]),
        ("speculate?run=example-said-before&round=1", "speculate", "Tree of",
         ["counted", "round 2"]),
    ],
)  # fmt: skip
def test_words_and_trees_are_pictures_too(
    visit: Visit, address: str, path: str, title: str, words: list[str]
) -> None:
    page = visit(f"{address}&__theme=dark", wait=False)
    page.wait_for_function(SHOWN[path])
    run = dict(parse_qsl(urlsplit(address).query))["run"]
    page.wait_for_function("run => window.tokenarium.state.run === run", arg=run)

    def of(form: str) -> bytes:
        page.get_by_role("button", name="Save", exact=True).click()
        item = page.locator(f"[role=menuitem][aria-label^='{title}'][aria-label$='({form})']")
        with page.expect_download() as started:
            item.click()
        return Path(started.value.path()).read_bytes()

    picture = of("SVG").decode()
    told = " ".join(" ".join(ElementTree.fromstring(picture).itertext()).split())
    assert all(word in told for word in (title, f"run={run}", *words)), told
    assert 'fill="#fff"' in picture
    assert of("PNG").startswith(b"\x89PNG")
    expect(page.locator("body.dark")).to_have_count(1)
    if path == "cache":
        head, *table = rows(of("CSV").decode())
        assert head == ["policy", "step", "token", "text", "state"]
        kept = [row for row in table if row[0] == "H2O" and row[-1] not in ("evicted", "next")]
        assert len(kept) == 48
