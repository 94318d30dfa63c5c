"""Every number that a page marks is given again by the Python that opens at it."""

import contextlib
import io
import re
from collections.abc import Iterable
from html import unescape
from typing import Any

import numpy as np
import pytest

import tokenarium
from tests.ui.browser_stub import Visit
from tokenarium.backend import JudgeRequest, Lab, UserError
from tokenarium.backend.comparison.compare import compare_runs
from tokenarium.ui.compare.answer import answer as compared
from tokenarium.ui.compare.numbers import value_source
from tokenarium.ui.components.decoding_step import step_value
from tokenarium.ui.components.judged_table import judged_sentence, judged_table
from tokenarium.ui.heads.answer import answer as usual
from tokenarium.ui.offline.kinds import offline
from tokenarium.ui.pages import find_pages
from tokenarium.ui.pages.tokens import Tokens
from tokenarium.ui.shell.section import MAIN
from tokenarium.ui.theme import ASSETS
from tokenarium.ui.tokens.answer import answer as tokens
from tokenarium.ui.why.decode import DECODE
from tokenarium.ui.why.explain import explained, said_number
from tokenarium.ui.why.formulas import FORMULAS
from tokenarium.ui.why.number import number, source, unmarked

MARK = re.compile(r'<button data-why="([^"]*)">([^<]*)</button>')
ELSEWHERE = re.compile(r'<button data-why="([^"]*)" data-run="([^"]*)">([^<]*)</button>')
ANY = re.compile(r'<button data-why="([^"]*)"(?: data-run="([^"]*)")?>([^<]*)</button>')
SHOWN = re.compile(r"-?[\d,]+(?:\.\d+)?(?:e[-+]?\d+)?")
RANDOM = re.compile(r"over [\d,]+ random pairs .*? below 1e-12")
"""Of the table of rules, which is of no run."""
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
LEAST = {
    "trace": 15, "cache": 20, "speculate": 12,
    "decode": 4, "attribute": 6, "sweep": 30, "judge": 20, "edit": 20,
}  # fmt: skip
"""Numbers that a page of the kind marks at least."""
WRONG = (
    "", "nothing 3", "surprisal_nats", "surprisal_nats 9999999", "surprisal_nats -1",
    "surprisal_nats 1 2", "surprisal_nats 1]", "__class__", "quantities", "attention_share",
    "attention_share 100000", "attention_share 1 1", "token_text 0", f"surprisal_nats {'9' * 100}",
    "chance __import__('os')",
)  # fmt: skip


def marked(values: Iterable[object], run_id: str = "") -> set[tuple[str, str]]:
    """Return source and text of every marked number: of the run in sight, or of one named."""
    found = set()
    for text in (value for value in values if isinstance(value, str)):
        around = re.search(r'<div data-run="([^"]+)">', text)
        for written, own, said in ANY.findall(text):
            if (own or (around[1] if around else "")) == run_id:
                found.add((unescape(written), unescape(said)))
    return found


def assert_captions_open(values: Iterable[object]) -> None:
    """Fail if a number in the caption of a table opens nothing."""
    for text in values:
        if isinstance(text, str):
            left = ELSEWHERE.sub("", MARK.sub("", text))
            for caption in re.findall(r"<caption>(.*?)</caption>", left):
                assert not re.search(r"\d", RANDOM.sub("", caption)), caption


def printed(lab: Lab, lines: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run lines as a reader would; ``Lab()`` is the one that has the runs."""
    monkeypatch.setattr(tokenarium, "Lab", lambda: lab)
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard):
        exec(lines, {})
    return heard.getvalue().strip()


def assert_shown(text: str, value: float) -> None:
    """Fail unless a number was rounded to the text."""
    found = SHOWN.search(text)
    assert found, text
    digits, _, power = found[0].replace(",", "").partition("e")
    scale = UNITS.get(text.split()[-1], 1) * 10 ** int(power or 0)
    expected = value / scale * (100 if "%" in text and value <= 1 else 1)
    half = 0.5 * 10.0 ** -len(digits.partition(".")[2])
    assert abs(float(digits) - expected) <= half * 1.001 + 1e-6 * abs(expected), (text, value)


def assert_given_again(
    lab: Lab, run_id: str, numbers: set[tuple[str, str]], patch: pytest.MonkeyPatch
) -> None:
    """Fail unless every number is what its Python prints, and as it was rounded."""
    for written, text in numbers:
        told = explained(lab, run_id, written)
        assert printed(lab, told["python"], patch) == told["value"], written
        assert_shown(text, float(told["value"]))
        assert told["title"]
        assert told["meaning"]
        assert told["slice"] in told["python"].replace("result.", "")


def test_python_at_every_marked_number_gives_it_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in find_pages():
        for section in (page, *(each for each in page.beside if each.kinds[0] not in page.kinds)):
            kind = section.kinds[0].kind
            for example in lab.examples(kind):
                visit = Visit(lab, page)
                visit.open(example.run_id, section.slug)
                own = "" if section.slug == MAIN else example.run_id
                numbers = marked(visit.values.values(), own)
                assert_captions_open(visit.values.values())
                assert len(numbers) >= LEAST.get(kind, 0), (kind, example.run_id)
                assert_given_again(lab, example.run_id, numbers, monkeypatch)


def test_every_number_of_a_decoded_step_opens_as_it_stands(lab: Lab) -> None:
    script = (ASSETS / "js" / "decoding.js").read_text("utf-8")
    named = set(re.findall(r"'(\w+)'(?=\],\n|, found\.lane)", script))
    assert named == set(DECODE) - {
        "mean_entropy", "lane_passes", "lane_steps", "step_surprisal", "step_spent",
        "trial_count", "trial_sure", "trial_right", "trial_error", "trial_end", "trial_chance",
        "premise_value", "premise_bound",  # in the drawing above the texts, as the lines' captions
    }  # fmt: skip
    run = lab.open("example-where-it-hesitates")
    card = step_value(run.result, 2, 5)
    shown = {
        "step_entropy 2 5": card["entropy"],
        "step_varentropy 2 5": card["varentropy"],
        "step_probability 2 5": card["probability"],
        "step_final 2 5": card["final"],
        "step_rank 2 5": card["rank"] + 1,
        "step_passes 2 5": card["passes"],
        "alternative 2 5 1 3": card["alternatives"][3]["probs"][1],
        "left 2 5 1": card["stages"][1][1],
        "stage_entropy 2 5 1": card["stages"][1][2],
    }
    for written, value in shown.items():
        assert float(explained(lab, run.id, written)["value"]) == pytest.approx(value, rel=1e-3)


def test_a_judged_text_names_its_own_run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "The old lighthouse keeper climbed the stairs every evening, and counted them all."
    run = lab.run(lab.request(JudgeRequest, model="bundled/target", text=text))
    shown = (judged_sentence(run.result, run.id), judged_table(run.result, run.id))
    numbers = marked(shown, run.id)
    assert len(numbers) >= LEAST["judge"]
    assert_given_again(lab, run.id, numbers, monkeypatch)


def test_every_number_of_a_comparison_is_one_of_its_run(lab: Lab) -> None:
    for kind in ("trace", "cache", "speculate", "sweep", "decode"):
        runs = [lab.open(example.run_id) for example in lab.examples(kind)[:2]]
        found = compare_runs(runs[:1] * 2 if kind in ("cache", "sweep") else runs)
        for name, measure in found.measures.items():
            known = np.argwhere(np.isfinite(measure.values))
            for lane, place in known[:: max(1, len(known) // 8)].tolist():
                of = value_source(measure, lane, place)
                assert of is not None, (kind, name)
                told = explained(lab, found.lanes[lane].run_id, of.written())
                assert float(told["value"]) == pytest.approx(measure.values[lane, place], rel=1e-6)


def test_a_number_of_a_comparison_names_its_run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [example.run_id for example in lab.examples("trace")[:2]]
    found = compared(lab, ids, "", "surprisal_nats", None)
    shown = ELSEWHERE.findall(found["sentence"]) + ELSEWHERE.findall(found["table"])
    assert [run_id for _, run_id, _ in shown] == ids * (len(shown) // 2)
    assert len(shown) >= LEAST["trace"]
    for written, run_id, text in shown:
        assert_given_again(lab, run_id, {(unescape(written), unescape(text))}, monkeypatch)


def test_every_number_of_the_heads_page_is_one_of_its_measurement(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = usual(lab, {"layer": 3, "head": 5, "find": "layer=3", "by": "induction"})
    parts = [str(shown[name]) for name in ("said", "head", "table")]
    [of] = set(re.findall(r'data-run="(heads:[0-9a-f]{64})"', "".join(parts)))
    least = {"said": 5, "head": 7 * 6, "table": 9 * 7 * 2}
    for part, text in zip(least, parts, strict=True):
        numbers = MARK.findall(text)
        assert len(numbers) == least[part]
        for written, said in numbers[:20]:
            told = said_number(lab, of, written)
            assert printed(lab, told["python"], monkeypatch) == told["value"]
            assert_shown(said, float(told["value"]))
            assert told["slice"] in told["python"].replace("corpus.", "")
            assert all(told[name] for name in ("title", "meaning", "note")), written
    for wrong in ("mean 0 3", "mean 9 0 0", "mean 0 3 99", "__class__", "mean 0 -1 2", "low 0 1 x"):
        assert re.search("press one|choose from", said_number(lab, of, wrong)["error"]), wrong
    assert "not measured" in said_number(lab, "heads:none", "texts")["error"]


def test_a_head_in_this_text_and_usually_open_on_the_card(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = Visit(lab, find_pages()[0])
    visit.open("example-first-token", MAIN)
    card = next(text for text in visit.values.values() if "usual self" in str(text))
    _, _, rows = str(card).partition("usual self")
    usually = ELSEWHERE.findall(rows)
    assert len(usually) >= 3 + 7 * 3
    for written, of, said in usually:
        assert_shown(said, float(said_number(lab, of, written)["value"]))
    here = set(MARK.findall(rows))
    assert {written.split()[0] for written, _ in here} == {
        f"here_{name}" for name in ("sink", "previous", "self", "distance", "entropy")
    }
    assert_given_again(lab, "example-first-token", here, monkeypatch)


def test_every_formula_stands_with_a_field_that_its_kind_defines(lab: Lab) -> None:
    results = {kind.request.kind: kind.result_class for kind in lab.kinds()}
    for kind, formulas in FORMULAS.items():
        defined = results[kind].quantities()
        for name, formula in formulas.items():
            assert formula.field in defined, name
            assert name not in defined, f"{name} would hide a field"


@pytest.mark.parametrize("written", WRONG)
def test_what_no_page_marks_is_refused_in_words(lab: Lab, written: str) -> None:
    run_id = lab.examples("trace")[0].run_id
    with pytest.raises(UserError, match=r"press one|choose from|takes"):
        explained(lab, run_id, written)


def test_an_unknown_run_is_refused_in_words(lab: Lab) -> None:
    visit = Visit(lab, find_pages()[0])
    for run_id in ("nowhere", None, '"); import os'):
        told: dict[str, Any] = visit.handlers.explain(run_id, "surprisal_nats 1")
        assert set(told) == {"error"}


def test_a_mark_is_taken_off_where_no_server_answers() -> None:
    marks = f"<b>{number('3 < 4', source('rank', 2))}</b>"
    assert marks == '<b><button data-why="rank 2">3 &lt; 4</button></b>'
    assert unmarked(marks) == "<b>3 &lt; 4</b>"


def test_files_have_numbers_as_plain_text(lab: Lab) -> None:
    for kind, view in (("trace", "card"), ("cache", "table"), ("speculate", "measures")):
        run = lab.open(lab.examples(kind)[0].run_id)
        made = offline(run)
        text = made.header(run) + str([part.value for part in made.views[view]()])
        assert "tk-sentence" in text
        assert "data-why" not in text


def test_every_number_of_the_tokens_page_is_given_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, text = Tokens(lab), "Some “naïve” words: 12 & <b>"
    cut = tokens(lab, {"do": "cut", "text": text, "with": ["bundled/target"]})["counts"]
    tables = {"cut": cut}
    asked = {
        "score": {"text": text, "segmenters": ["longest_match", "whole_words"]},
        "byte": {"prefix": "The ca"},
        "letters": {"words": "berry"},
    }
    for do, more in asked.items():
        found: dict[str, Any] = {"busy": True}
        while "busy" in found:
            found = tokens(lab, {"do": do, "model": "bundled/target", "run": True, **more})
        tables[do] = found["html"]
    least = {"cut": 6, "score": 3 * 4 + 2 * 1 + 1, "byte": 3, "letters": 5}
    for do, html in tables.items():
        [of] = map(unescape, re.findall(r'<div data-run="([^"]+)">', html))
        numbers = MARK.findall(html)
        assert len(numbers) >= least[do], do
        for written, said in numbers[:20]:
            told = page.explained(of, unescape(written))
            assert "error" not in told, told
            assert printed(lab, told["python"], monkeypatch) == told["value"]
            assert_shown(said, float(told["value"]))
            assert told["title"]
            assert told["meaning"]
    [of] = map(unescape, re.findall(r'<div data-run="([^"]+)">', cut))
    for wrong in ("tokens 9", "tokens", "tokens 0]", "__class__", "quantities"):
        assert re.search("press one|choose from", page.explained(of, wrong)["error"]), wrong
    for nothing in ("cut:", "cut:text=a", "cut:text=a&with=nowhere%2Fnone"):
        assert set(page.explained(nothing, "tokens 0")) == {"error"}
