"""Every number of every view of the Tokens page opens, and its Python gives it again."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

import tokenarium
from tests.contracts.opening import assert_all_open, figure_given_again, given_again
from tokenarium.backend import Lab
from tokenarium.ui.pages.tokens import Tokens
from tokenarium.ui.tokens import apart
from tokenarium.ui.tokens.answer import answer

TEXT = "Some “naïve” words: 12 & <b>"
OWN = {
    "de.txt": "der alte Mann und das Meer. " * 90,
    "English.txt": "the old man. " * 200,
}
"""Texts of the visitor's own, by the names of their files."""
CORPUS = "the old king and the old queen. " * 20
FILES = [{"title": title, "text": text} for title, text in OWN.items()]
VIEWS: dict[str, dict[str, Any]] = {
    "cut": {"text": TEXT, "with": ["bundled/target"]},
    "languages": {"with": ["bundled/target"], "rate": 2, "against": "de"},
    "score": {"text": TEXT, "segmenters": ["longest_match"], "model": "bundled/target"},
    "byte": {"prefix": "The ca", "model": "bundled/target"},
    "letters": {"words": "berry", "model": "bundled/target"},
    "train": {"text": TEXT, "corpus": CORPUS, "kind": "bpe", "size": 280},
    "train, LiB": {"text": TEXT, "corpus": CORPUS, "kind": "lib", "size": 280, "words": False},
    "added": {},
    "sizes": {"tokenizer": "bundled/target"},
    "sizes, trained": {"source": "train", "own": FILES, "size": 300},
    "turkish": {"with": ["bundled/target"]},
    "mixture": {"tokenizer": "bundled/target", "samples": ["English"], "own": FILES, "merges": 20},
}
PLAIN = {
    "languages": r"2,000|95 %|arXiv:2305\.15425|16 bits|bundled/target",
    "byte": r"0 same, 1 disjoint|\b[Tt]he 0x\w\w|0x\w\w",
    "mixture": r"0\.5 %|1,000 bytes|Middle 90 %|20 draws|\(\d\)",
    "added": r"the best of \d",
    "train": r"BPE 280|the first are .*",
    "train, LiB": r"LiB 280|the best are .*?\.",
}
"""What a view says with digits in it that is no number of what it shows: units, rules, names."""
LEAST = {
    "cut": 9, "languages": 29 * 6, "score": 7, "byte": 8, "letters": 15, "train": 6, "added": 30,
    "train, LiB": 12, "sizes": 29 * 4, "sizes, trained": 12, "mixture": 15, "turkish": 14,
}  # fmt: skip
"""Numbers that a view marks at least."""


@pytest.fixture(autouse=True)
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is computed without a run is waited for."""
    monkeypatch.setattr(apart, "WAIT_S", 60)


@pytest.mark.parametrize("view", VIEWS)
def test_every_number_of_a_view_is_given_again(
    lab: Lab, view: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = answered(lab, view)
    parts = shown(found, view)
    monkeypatch.setattr(tokenarium, "Lab", lambda: lab)
    monkeypatch.chdir(tmp_path)
    for name, text in {**OWN, "text.txt": CORPUS}.items():
        Path(name).write_text(text)
    page, made, seen = Tokens(lab), dict[str, dict[str, Any]](), 0
    for html in parts:
        assert_all_open(html, PLAIN.get(view, "^$"))
        marked = given_again(page, html, made)
        seen += marked
        [of] = set(map(unescape, re.findall(r'<div data-run="([^"]+)">', html))) or {""}
        for wrong in ("tokens 9999999", "premium", "curve_low 0 0]", "__class__", "share 10000"):
            if marked:
                assert "press one" in (error := page.explained(of, wrong)["error"]) or (
                    "choose from" in error
                )
    assert seen >= LEAST[view]
    if view.startswith("sizes"):
        assert figure_given_again(page.explained, found["figure"], made) == 2


def test_an_answer_that_is_no_longer_kept_says_so(lab: Lab) -> None:
    told = Tokens(lab).explained("kept:nothing", "premium 0 0")
    assert set(told) == {"error"}
    assert "no longer kept" in told["error"]


def test_a_number_of_another_text_is_not_that_of_the_first(lab: Lab) -> None:
    texts = [FILES, [{**FILES[0], "text": "ja, nein. " * 300}, FILES[1]]]
    shares = []
    for own in texts:
        asked = {"tokenizer": "bundled/target", "own": own, "merges": 20, "run": True}
        said = answer(lab, {"do": "mixture", **asked})["said"]
        [of] = re.findall(r'<div data-run="([^"]+)">', said)
        shares.append((of, Tokens(lab).explained(of, "size 0")["value"]))
    assert len(set(shares)) == 2
    assert shares[0][1] != shares[1][1]


def answered(lab: Lab, view: str) -> dict[str, Any]:
    """Return what a view is sent, its run finished."""
    found: dict[str, Any] = {"busy": True}
    while "busy" in found:
        do = view.partition(",")[0]
        found = answer(lab, {"do": do, "run": do != "added", **VIEWS[view]})
    assert "error" not in found, found
    return found


def shown(found: dict[str, Any], view: str) -> list[str]:
    """Return the HTML that a view shows."""
    parts = [found.get(name) or "" for name in ("said", "html", "counts", "steps")]
    notes = found.get("notes") or []
    parts += {"mixture": notes, "turkish": [notes]}.get(view, [])
    if view == "cut":
        parts[0] = f'<div data-run="{found["of"]}">{parts[0]}</div>'
    if view == "score":
        [of] = re.findall(r'<div data-run="([^"]+)">', found["html"])
        row, ends = found["words"]["rows"][1], found["words"]["ends"]
        assert len(ends) == len(row["nats"]) + 1
        more = [a - b for a, b in zip(row["nats"], found["words"]["rows"][0]["nats"], strict=True)]
        parts.append(f'<div data-run="{of}">' + "".join(
            f'<button data-why="word_more {row["row"]} {a} {b}">{value:+.1f}</button>'
            for value, a, b in zip(more, ends, ends[1:], strict=False)
        ) + "</div>")  # fmt: skip
    return parts
