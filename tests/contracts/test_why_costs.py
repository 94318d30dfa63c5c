"""Every number of a cost card, of the line of facts and of stored sentences opens."""

import re
from html import unescape
from typing import Any

import pytest

import tokenarium
from tests.contracts.opening import MARK, given_again
from tests.contracts.visits import SECTIONS, asking
from tests.ui.browser_stub import Visit
from tokenarium.backend import Lab, UserError
from tokenarium.ui.components.sentence import facts_of
from tokenarium.ui.pages import find_pages
from tokenarium.ui.why.explain import explained
from tokenarium.ui.why.said import marked

FORMULA = re.compile(r"<div><p class=\"tk-sub\">Speed-up.*?</div>|<code>.*?</code>")
"""Of the card of Speculate, which is of no estimate."""
ASKED = {
    "text": "The old king saw it.", "patch_other": "The young queen saw it!", "max_new_tokens": 3,
}  # fmt: skip
MOVES = re.compile(r'<button data-why="free_bytes">[^<]*</button>')
"""What is free changes from one moment to the next."""
NAMES = re.compile(
    r"\d+ new at most|up to \d+ deep, \d+ in all|H2O|float(32|16)|arXiv:[\d.]+|"
    r"\b[A-Z]?[a-z]+\d+\b|\(\d\)|first \d|1 times|budget=.*?at least \d+"
)
"""Digits that are no number of an estimate: names, what the controls ask for, refusals."""


@pytest.mark.parametrize(("page", "slug"), SECTIONS, ids=[f"{p.title}-{s}" for p, s in SECTIONS])
def test_every_number_of_a_cost_card_is_estimated_again(
    lab: Lab, page: Any, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenarium, "Lab", lambda: lab)
    visit = Visit(lab, page)
    card = visit.cost(slug, **asking(visit, ASKED))
    if "<dl>" not in card:
        return
    made: dict[str, dict[str, Any]] = {}
    in_ms = re.sub(r" s</button>", "e3</button>", MOVES.sub("", card))
    assert given_again(Explains(visit), in_ms, made) >= 1
    left = NAMES.sub("", FORMULA.sub("", MARK.sub("", card)))
    for said in re.findall(r"<(?:dd|data|p)[^>]*>(.*?)</(?:dd|data|p)>", left):
        assert not re.search(r"\d", unescape(re.sub("<[^>]+>", "", said))), said


class Explains:
    """Answers as a page of runs does."""

    def __init__(self, visit: Visit) -> None:
        self.explained = visit.handlers.explain


def test_how_long_a_run_took_opens(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenarium, "Lab", lambda: lab)
    visit = Visit(lab, find_pages()[0])
    for kind in ("trace", "cache", "sweep"):
        run = lab.open(lab.examples(kind)[0].run_id)
        made: dict[str, dict[str, Any]] = {}
        facts = f'<div data-run="{run.id}">{facts_of(run)}</div>'
        assert given_again(Explains(visit), facts, made) == 1
        told = explained(lab, run.id, "duration")
        assert float(told["value"]) == run.duration_ms


def test_numbers_of_stored_sentences_open(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenarium, "Lab", lambda: lab)
    seen = {"verdict": 0, "audit": 0}
    for page, kind, part in (("Cache", "sweep", "sentence"), ("Speculate", "speculate", "audit")):
        [each] = (p for p in find_pages() if p.title == page)
        section = next(s for s in (each, *each.beside) if s.kinds[0].kind == kind)
        for example in lab.examples(kind):
            visit = Visit(lab, each)
            visit.open(example.run_id, section.slug)
            named = (
                part
                if part == "audit"
                else visit.handlers.part(visit.page.sections[section.slug], part)
            )
            said = str(visit.values[named])
            numbers = [each for each in MARK.findall(said) if each[0].startswith("said-")]
            left = MARK.sub("", said)
            for evidence in re.findall(r"</span><p>(.*?)</p></li>", left):
                assert not re.search(r"(?<![\w.])\d", unescape(evidence)), evidence
            html = f'<div data-run="{example.run_id}">' + "".join(
                f'<button data-why="{written}">{text}</button>' for written, _, text in numbers
            )
            made: dict[str, dict[str, Any]] = {}
            given_again(Explains(visit), f"{html}</div>", made)
            for written, _, text in numbers:
                told = explained(lab, example.run_id, written)
                assert float(told["value"]) == float(text.replace(",", "")), written
            seen["audit" if part == "audit" else "verdict"] += len(numbers)
    assert seen["audit"] >= 10
    assert seen["verdict"] >= 1


def test_a_sentence_keeps_its_words_and_marks_its_numbers() -> None:
    found = marked("<b> 20 of 1,024, -0.5 and 1e-05; float32 v1.2", "verdict", "r", 3)
    assert (
        re.sub("</?button[^>]*>", "", found)
        == "&lt;b&gt; 20 of 1,024, -0.5 and 1e-05; float32 v1.2"
    )
    assert MARK.findall(found) == [
        (f"said-verdict 3 {count}", "r", text)
        for count, text in enumerate(("20", "1,024", "-0.5", "1e-05"))
    ]


@pytest.mark.parametrize(
    "wrong", ["said-verdict 99", "said-verdict", "said-verdict 0 0", "said-audit 9 0", "said-x 0"]
)
def test_what_no_sentence_has_is_refused_in_words(lab: Lab, wrong: str) -> None:
    with pytest.raises(UserError, match="press one"):
        explained(lab, lab.examples("sweep")[0].run_id, wrong)
