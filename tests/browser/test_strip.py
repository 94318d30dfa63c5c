"""The strip to 32k tokens: units, densities, scale, keys, and numbers fetched when wanted."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.browser.strip_page import LONG_AT, LONG_WORD, build, long_text
from tests.browser.test_first_paint import CONTRAST
from tokenarium.backend.analysis.segmentation import word_and_sentence_starts
from tokenarium.ui.components.colouring import attention_share
from tokenarium.ui.shell.web import served
from tokenarium.ui.theme import theme

TEXT = 512
LONGEST = 32_768
INK = """([x, y]) => {
  const canvas = document.querySelector('.tk-pixels canvas');
  const scale = canvas.width / canvas.clientWidth;
  return [...canvas.getContext('2d').getImageData(x * scale, y * scale, 1, 1).data];
}"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        blocks = build()
        _, url, _ = blocks.launch(
            theme=theme(),
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            **served([""]),
        )
        yield url
        blocks.close()


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    yield page
    page.close()


@pytest.fixture
def strip_at(window: Page, address: str) -> Iterator[Callable[..., Page]]:
    """Open the strip of a text of some length; nothing may go wrong on the page."""
    wrong: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type == "error":
            wrong.append(message.text)

    def visit(length: int, **asked: object) -> Page:
        query = "&".join(f"{k}={v}" for k, v in {"length": length, **asked}.items())
        window.goto(f"{address}?{query}")
        expect(readout(window)).not_to_be_empty()
        return window

    window.on("pageerror", lambda error: wrong.append(str(error)))
    window.on("console", said)
    yield visit
    window.remove_listener("console", said)
    assert wrong == []


def test_density_follows_the_length_until_one_is_chosen(strip_at: Any) -> None:
    for length, density in ((2001, "compact"), (8001, "pixel")):
        page = strip_at(length)
        assert strip(page).get_attribute("data-density") == density
    page.get_by_role("radio", name="Compact").click()
    assert strip(page).get_attribute("data-density") == "compact"
    expect(page.locator(".tk-token")).to_have_count(8001)
    expect(page).to_have_url(re.compile("density=compact"))
    page.reload()
    expect(readout(page)).not_to_be_empty()
    assert strip(page).get_attribute("data-density") == "compact"


def test_a_word_is_one_choice_and_arrows_step_by_it(strip_at: Any) -> None:
    page = strip_at(TEXT)
    assert strip(page).get_attribute("data-density") == "comfortable"
    result = long_text(TEXT)
    words = np.flatnonzero(word_and_sentence_starts(result.token_text, result.special)[0]).tolist()
    page.get_by_role("radio", name="Word").click()
    expect(page).to_have_url(re.compile("unit=word"))
    shown = page.locator(".tk-token")
    assert shown.evaluate_all("all => all.map(e => Number(e.dataset.index))") == words
    parts = next(a for a, b in pairwise(words) if b - a == 2)
    page.locator(f"#tk-token-{parts}").click()
    assert state(page)["token"] == parts
    text = "".join(result.token_text[parts : parts + 2])
    expect(readout(page)).to_contain_text(f"tokens {parts} to {parts + 1} “{text}”")
    strip(page).focus()
    page.keyboard.press("ArrowRight")
    assert state(page)["token"] == parts + 2
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert state(page)["token"] == words[words.index(parts) - 1]


@pytest.mark.parametrize(("metric", "said"), [("surprisal", "sum"), ("value", "mean")])
def test_a_sentence_shows_the_sum_or_the_mean_of_its_tokens(
    strip_at: Any, metric: str, said: str
) -> None:
    page = strip_at(TEXT, unit="sentence", metric=metric)
    result = long_text(TEXT)
    second, third = np.flatnonzero(word_and_sentence_starts(result.token_text, result.special)[1])[
        2:4
    ]
    page.locator(f"#tk-token-{second}").hover()
    expect(readout(page)).to_contain_text(f"sentence of tokens {second} to {third - 1}")
    expect(readout(page)).to_contain_text(f"({said} of its tokens)")
    layer, head = state(page)["layer"], state(page)["head"]
    values = {"surprisal": result.surprisal_nats, "value": result.value_norm[layer, head // 2]}
    wanted = getattr(values[metric][second:third], said)()
    title = {"surprisal": "surprisal", "value": "value norm"}[metric]
    assert number(page, title) == pytest.approx(wanted, rel=6e-3)


def test_the_scale_ends_at_the_99th_percentile_and_says_so(strip_at: Any) -> None:
    page = strip_at(TEXT, metric="surprisal")
    levels = page.locator(".tk-token").evaluate_all(
        "all => all.map(e => Number(e.className.match(/tk-l([0-9]+)/)?.[1] ?? -1))"
    )
    wanted, high, top = scale(long_text(TEXT).surprisal_nats)
    assert high < top
    # Half precision moves a number over the border of two levels at most.
    assert np.abs(levels - wanted).max() <= 1
    assert np.mean(levels != wanted) < 0.02
    assert page.locator(".tk-high").inner_text() == f"≥ {high:.3g} nats"


def test_one_extreme_does_not_hide_the_others(strip_at: Any) -> None:
    page = strip_at(TEXT, metric="neighbours")
    assert page.locator(".tk-low").inner_text() == "1"
    assert page.locator(".tk-high").inner_text().startswith("≥ ")
    assert page.locator(".tk-token.tk-l15").count() > 1
    few = page.locator(".tk-token.tk-few")
    assert few.evaluate_all("all => all.map(e => Number(e.dataset.index))") == [*range(496, 512)]


def test_the_share_of_all_attention_is_shown_from_nothing_to_the_most(strip_at: Any) -> None:
    page = strip_at(TEXT)
    share = attention_share(long_text(TEXT))
    assert page.locator(".tk-low").inner_text() == "0"
    assert page.locator(".tk-high").inner_text() == f"{share.max():.3g} %"
    levels = page.locator(".tk-token").evaluate_all(
        "all => all.map(e => Number(e.className.match(/tk-l([0-9]+)/)?.[1] ?? -1))"
    )
    wanted = np.minimum(15, np.floor(16 * share / share.max()))
    assert np.abs(levels - wanted).max() <= 1
    assert np.mean(levels != wanted) < 0.02
    assert page.locator(".tk-token.tk-few").count() == 0


def test_pixels_hold_every_token_on_one_screen(strip_at: Any) -> None:
    page = strip_at(LONGEST)
    canvas = page.locator(".tk-pixels canvas").last
    box = canvas.bounding_box()
    assert box["height"] < 500
    seen = set()
    # What the page makes of a place must be the same token that it draws there.
    for share in (0.1, 0.5, 0.9):
        canvas.hover(position={"x": box["width"] * share, "y": box["height"] * share})
        seen.add(int(readout(page).inner_text().split()[1]))
    assert len(seen) == 3
    canvas.click(position={"x": box["width"] * 0.5, "y": box["height"] * 0.5})
    token = state(page)["token"]
    assert token in seen
    assert abs(token - LONGEST / 2) < LONGEST / 50
    words = "".join(long_text(LONGEST).token_text[token : token + 1])
    expect(readout(page)).to_contain_text(f"▸{words}◂")
    slider = page.get_by_role("slider", name="Tokens of the text")
    assert slider.get_attribute("aria-valuenow") == str(token)
    assert slider.get_attribute("aria-valuemax") == str(LONGEST - 1)
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert state(page)["token"] == token + 1
    page.keyboard.press("ArrowDown")
    below = state(page)["token"]
    assert below - token > 100
    page.keyboard.press("ArrowUp")
    assert state(page)["token"] == token + 1
    expect(readout(page)).to_contain_text("never trained: beyond 1024 tokens")


def test_pixels_are_coloured_by_the_number(strip_at: Any) -> None:
    page = strip_at(1000, density="pixel", metric="surprisal")
    wanted, _, _ = scale(long_text(1000).surprisal_nats)
    height = page.locator(".tk-pixels canvas").first.bounding_box()["height"]
    across = page.evaluate("document.querySelector('.tk-pixels canvas').clientWidth")
    # The cells are 14 pixels wide, the widest there are; 1,000 of them need few rows.
    assert height < 14 * (1000 / (across // 14) + 2)
    for token in (1, *np.argsort(wanted[: across // 14])[[5, 40, -1]]):
        opacity = page.evaluate(INK, [14 * int(token) + 7, 9])[3] / 255
        assert opacity == pytest.approx(max(0.05, wanted[token] / 15), abs=0.07)
    assert page.evaluate(INK, [7, 9])[:3] != [245, 158, 11]
    for row, column in ((0, 3), (2, 0), (1, across // 14 - 1)):
        page.locator(".tk-pixels").click(position={"x": 14 * column + 7, "y": 14 * row + 9})
        assert state(page)["token"] == row * (across // 14) + column


def test_numbers_of_a_long_text_come_when_wanted(strip_at: Any) -> None:
    page = strip_at(LONGEST, metric="surprisal")
    asked: list[str] = []
    page.on("request", lambda r: "run/predict" in r.url and asked.append(r.url))
    result = long_text(LONGEST)
    # The first token has none.
    expect(readout(page)).to_contain_text("surprisal \u2013")
    page.evaluate("window.tokenarium.select({token: 77})")
    assert number(page, "surprisal") == pytest.approx(result.surprisal_nats[77], rel=6e-3)
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("radio", name="key norm").click()
    place = state(page)
    expect(readout(page)).to_contain_text("key norm")
    assert number(page, "key norm") == pytest.approx(
        result.key_norm[place["layer"], place["head"] // 2, 77], rel=6e-3
    )
    before = len(asked)
    page.get_by_role("radio", name="surprisal").click()
    expect(readout(page)).to_contain_text("surprisal")
    page.wait_for_timeout(300)
    assert len(asked) == before, "numbers that are here are not fetched again"
    page.evaluate("window.tokenarium.select({layer: 0, head: 0})")
    page.get_by_role("radio", name="key norm").click()
    expect(page.locator("#strip[aria-busy], #strip [aria-busy]")).to_have_count(0)
    expect(readout(page)).to_contain_text("key norm")
    assert number(page, "key norm") == pytest.approx(result.key_norm[0, 0, 77], rel=6e-3)


def test_numbers_of_another_head_are_never_told_as_this_ones(strip_at: Any) -> None:
    for length in (TEXT, LONGEST):
        page = strip_at(length, metric="key")
        result = long_text(length)
        page.evaluate("window.tokenarium.select({layer: 1, head: 2, token: 77})")
        expect(readout(page)).to_contain_text("key norm")
        assert number(page, "key norm") == pytest.approx(result.key_norm[1, 1, 77], rel=6e-3)
        told = page.evaluate(
            "() => { window.tokenarium.select({layer: 0, head: 0});"
            " return document.querySelector('#strip .tk-readout').textContent; }"
        )
        assert "key norm" not in told
        expect(readout(page)).to_contain_text("key norm")
        assert number(page, "key norm") == pytest.approx(result.key_norm[0, 0, 77], rel=6e-3)
        page.get_by_role("radio", name="surprisal").click()
        told = page.evaluate(
            "() => { window.tokenarium.select({layer: 1, head: 2});"
            " window.tokenarium.select({metric: 'key'}, 'replaceState');"
            " return document.querySelector('#strip .tk-readout').textContent; }"
        )
        assert "key norm" not in told
        expect(readout(page)).to_contain_text("key norm")
        assert number(page, "key norm") == pytest.approx(result.key_norm[1, 1, 77], rel=6e-3)


def test_text_of_a_long_run_can_be_read_and_chosen(strip_at: Any) -> None:
    page = strip_at(LONGEST, density="comfortable", token=20_000)
    expect(page.locator(".tk-token")).to_have_count(LONGEST)
    page.evaluate("window.tokenarium.select({token: 30000})")
    page.wait_for_function(
        "() => { const b = document.querySelector('#tk-token-30000').getBoundingClientRect();"
        " const s = document.querySelector('.tk-strip').getBoundingClientRect();"
        " return b.top >= s.top - 1 && b.bottom <= s.bottom + 1; }"
    )
    page.locator("#tk-token-30000").click()
    expect(page.locator("#tk-token-30000")).to_have_attribute("aria-selected", "true")
    assert page.locator("#tk-token-1024").get_attribute("data-edge") is not None


def test_a_large_map_shows_its_numbers_and_names(strip_at: Any) -> None:
    page = strip_at(LONGEST)
    page.wait_for_function("document.querySelector('#plot-map .js-plotly-plot')?.data")
    place = state(page)
    field = long_text(LONGEST).attention_tiles_mean[place["layer"], place["head"]]
    drawn = page.evaluate(
        "() => { const d = document.querySelector('#plot-map .js-plotly-plot').data[0];"
        " return [[255, 0], [100, 99], [7, 7]].map(([r, c]) => [d.z[r][c], d.customdata[r][c]]); }"
    )
    step = float(np.nanmax(field) - np.nanmin(field)) / 65_534
    for (row, column), (value, name) in zip(((255, 0), (100, 99), (7, 7)), drawn, strict=True):
        assert value == pytest.approx(field[row, column], abs=0.6 * step)
        rows, columns = (f"{128 * n} to {128 * n + 127}" for n in (row, column))
        assert name == f"from {rows}<br>to {columns}"
    hidden = page.evaluate(
        "Number.isNaN(document.querySelector('#plot-map .js-plotly-plot').data[0].z[0][5])"
    )
    assert hidden


def test_text_in_the_lens_is_cut_to_its_cell(strip_at: Any, window: Page) -> None:
    page = strip_at(TEXT)
    page.wait_for_function("document.querySelector('#plot-lens .js-plotly-plot')?.data")
    figure = "document.querySelector('#plot-lens .js-plotly-plot')"
    residual, token = LONG_AT
    word, before = (f"{figure}.data[0].text[{residual}][{at}]" for at in (token, token - 1))
    seen = f"(([from, to]) => to - from)({figure}.layout.xaxis.range)"
    wide = page.evaluate(seen)
    try:
        window.set_viewport_size({"width": 640, "height": 900})
        page.wait_for_function(f"{seen} < {wide}")
        cut = page.evaluate(word)
        assert cut.endswith("…")
        assert LONG_WORD.startswith(cut[:-1])
        assert page.evaluate(before) == f"L{residual}t{token - 1}"
    finally:
        window.set_viewport_size({"width": 1440, "height": 900})
    page.wait_for_function(f"{seen} === {wide}")


@pytest.mark.parametrize("dark", [False, True])
def test_every_level_can_be_read_also_where_few_look(strip_at: Any, dark: bool) -> None:
    page = strip_at(TEXT)
    page.add_style_tag(content="* { transition: none !important; }")
    page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
    page.evaluate(
        "document.querySelectorAll('.tk-token').forEach((e, i) => {"
        " e.className = `tk-token tk-l${i % 16}${i % 32 < 16 ? ' tk-few' : ''}`; })"
    )
    texts = ".tk-token, .tk-strip-head button, .tk-legend span, .tk-foot div"
    found: list[list[Any]] = page.evaluate(CONTRAST, texts)
    assert len(found) > TEXT
    assert [entry for entry in found if entry[0] < 4.5] == []


def strip(page: Page) -> Any:
    return page.locator(".tk-strip")


def readout(page: Page) -> Any:
    return page.locator(".tk-readout")


def state(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("({...window.tokenarium.state})")
    return found


def number(page: Page, title: str) -> float:
    """Return the number of a metric that the readout tells; between two answers it tells none."""
    told = "title => document.querySelector('.tk-readout').innerText.match(`${title} ([0-9.e+-]+)`)"
    return float(page.wait_for_function(told, arg=title).json_value()[1])


def scale(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return levels of colour from 0 to 15 (-1 for NaN), the end of the scale, and the highest."""
    seen = np.sort(values[np.isfinite(values)]).astype(float)
    low, high, top = seen[0], seen[int((len(seen) - 1) * 0.99)], seen[-1]
    high = high if top >= 2 * high else top
    share = (np.nan_to_num(values, nan=low) - low) / (high - low)
    levels = np.clip(np.floor(share * 16), 0, 15)
    return np.where(np.isnan(values), -1, levels).astype(int), float(high), float(top)
