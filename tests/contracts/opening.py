"""Whether all numbers of a page open, and whether the Python that opens gives them again."""

import contextlib
import io
import re
from collections.abc import Callable, Mapping
from html import unescape
from typing import Any

import numpy as np
import orjson
import pytest

from tests.contracts.test_why import SHOWN
from tests.contracts.test_why_figures import arrays
from tokenarium.ui.shell.page import Page

MARK = re.compile(r'<button data-why="([^"]*)"(?: data-run="([^"]*)")?>([^<]*)</button>')
SCALES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def assert_all_open(html: str, plain: str) -> None:
    """Fail if a number in a cell, a bar, a caption or a finding opens nothing.

    Args:
        html: of a part of a page.
        plain: a pattern of what it says with digits in it that is no number of what it shows.
    """
    left = MARK.sub("", html)
    # The first cell of a row is what the others are of.
    for cell in re.findall(r"</t[dh]><td[^>]*>(.*?)(?=</td>)", left):
        words = re.sub(plain, "", unescape(re.sub("<[^>]+>", "", cell)).strip())
        assert not re.fullmatch(r"[+-]?[\d.,]+ ?(%|[a-zA-Z]{1,3})?", words), cell
    for sentence in re.findall(r"<(p|li|caption|summary)\b[^>]*>(.*?)</\1>", left):
        words = re.sub(plain, "", unescape(re.sub("<[^>]+>", "", sentence[1])))
        assert not re.search(r"\d", words), words


def given_again(page: Page, html: str, made: dict[str, dict[str, Any]]) -> int:
    """Fail unless numbers, one of each name, are what their Python prints; return how many stand.

    Args:
        page: that explains them.
        html: of a part of it.
        made: what the lines of Python made that were run already, by the lines.
    """
    [around] = set(re.findall(r'<div data-run="([^"]+)">', html)) or {""}
    numbers = MARK.findall(html)
    for written, own, said in {name.split()[0]: (name, *r) for name, *r in numbers}.values():
        told = page.explained(unescape(own or around), unescape(written))
        assert "error" not in told, told
        lines, _, last = told["python"].rpartition("\n")
        if lines not in made:  # what several numbers are of is made once
            exec(lines, made.setdefault(lines, {}))
        heard = io.StringIO()
        with contextlib.redirect_stdout(heard):
            exec(last, made[lines])
        assert heard.getvalue().strip() == told["value"], written
        assert_rounded(unescape(said), float(told["value"]))
        assert told["title"]
        assert told["meaning"]
        assert told["slice"] in told["python"].replace("result.", "")
    return len(numbers)


def figure_given_again(
    explained: Callable[[object, object], Mapping[str, str]],
    text: str,
    made: dict[str, dict[str, Any]],
    most: int = 2,
) -> int:
    """Fail unless the last numbers of a figure's last arrays are what their Python prints.

    Args:
        explained: what answers for a number, as ``Page.explained``.
        text: of the figure as a browser reads it.
        made: as of ``given_again``.
        most: arrays that are looked at.
    """
    drawn = orjson.loads(text)
    of = drawn["layout"]["meta"]["of"]
    found = arrays(drawn)[-most:]
    for trace, key, values, step in found:
        at = np.argwhere(np.isfinite(values))[-1].tolist()
        told = explained(of, " ".join(map(str, (f"figure_{key}", trace, *at))))
        assert "error" not in told, told
        assert float(told["value"]) == pytest.approx(values[tuple(at)], rel=1e-6, abs=step)
        lines, _, last = told["python"].rpartition("\n")
        if lines not in made:
            exec(lines, made.setdefault(lines, {}))
        heard = io.StringIO()
        with contextlib.redirect_stdout(heard):
            exec(last, made[lines])
        assert heard.getvalue().strip() == told["value"]
        assert told["title"]
        assert told["meaning"]
        assert told["slice"] in told["python"].replace("result.", "")
        for wrong in (f"figure_{key} {trace} 9999999", f"figure_{key} 99 0", "figure_q 0 0"):
            assert "press one" in explained(of, wrong)["error"]
    return len(found)


def assert_rounded(text: str, value: float) -> None:
    """Fail unless a number was rounded to the text."""
    found = SHOWN.search(text)
    assert found, text
    digits, _, power = found[0].replace(",", "").partition("e")
    expected = value / SCALES.get(text.split()[-1], 1) / 10 ** int(power or 0)
    expected *= 100 if "%" in text and value <= 1 else 1
    half = 0.5 * 10.0 ** -len(digits.partition(".")[2])
    assert abs(float(digits) - expected) <= half * 1.001 + 1e-6 * abs(expected), (text, value)
