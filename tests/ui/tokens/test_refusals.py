"""What the Tokens page refuses, escapes and cancels, in words."""

from typing import Any

import pytest

from tests.ui.tokens.asking import TARGET, ask, finished
from tokenarium.backend import Lab
from tokenarium.ui.tokens import apart
from tokenarium.ui.tokens.answer import answer


@pytest.mark.parametrize(
    ("do", "more", "words"),
    [
        ("cut", {"with": ["no/such"]}, "is not on this machine"),
        ("give", {"state": "no", "title": "x"}, "is no tokenizer.json"),
        ("merges", {"tokenizer": "given/none"}, "is not here any more"),
        ("score", {"run": True, "text": "a", "model": "no/such"}, "no/such"),
        ("letters", {"run": True, "words": " , ", "model": TARGET}, "words is empty: give 1 to 64"),
    ],
)
def test_errors_are_said(lab: Lab, do: str, more: dict[str, Any], words: str) -> None:
    assert words in ask(lab, do, **more)["error"]


@pytest.mark.parametrize("do", ["score", "byte", "letters", "added"])
def test_a_refused_view_says_what_can_be_asked(lab: Lab, do: str) -> None:
    form = ask(lab, do)
    refused = ask(lab, do, run=True, text="a", passage="oaks", words="oak", model="no/such")
    assert "no/such" in refused.pop("error")
    assert refused == form
    assert TARGET in refused["models"]


@pytest.mark.parametrize(("do", "name"), [("byte", "prefix"), ("added", "passage")])
def test_an_emptied_field_is_no_example(lab: Lab, do: str, name: str) -> None:
    found = finished(lab, do, model=TARGET, **{name: ""})
    assert "error" in found


@pytest.mark.parametrize("sent", [None, 5, "x", [], {}, [None, {"a": 1}]])
def test_whatever_a_browser_sends_is_answered(lab: Lab, sent: Any) -> None:
    for do in ("cut", "languages", "merges", "give", "score", "byte", "cancel", sent):
        for key in ("with", "text", "against", "rate", "word", "segmenters", "run", "prefix"):
            found = answer(lab, {"do": do if isinstance(do, str) else None, key: sent})
            assert found["answer"]


def test_text_of_a_visitor_is_escaped(lab: Lab) -> None:
    found = ask(lab, "cut", text="<script>${alert(1)}{{x}}")
    assert "<script>" not in found["counts"] + found["steps"]


@pytest.mark.parametrize(
    "do", ["score", "byte", "letters", "mixture", "sizes", "domain", "added", "train"]
)
def test_a_form_is_whole_beside_an_error(lab: Lab, do: str) -> None:
    wrong = {"text": "a", "model": "no/such", "tokenizer": "no/such", "corpus": "", "prefix": "a"}
    found = ask(lab, do, run=True, passage="a", words="planet", **wrong)
    assert found.pop("error")
    assert found.keys() >= ask(lab, do).keys()


def test_a_view_that_computes_for_long_is_asked_again_and_cancelled(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "WAIT_S", 0)
    asked = {"tokenizer": TARGET, "samples": ["English", "Python"], "merges": 20, "run": True}
    begun = ask(lab, "mixture", **asked)
    assert begun["samples"]
    assert "said" not in begun
    monkeypatch.setattr(apart, "WAIT_S", 60)
    assert "share" in ask(lab, "mixture", run=True, busy=begun["busy"])["html"]
    monkeypatch.setattr(apart, "WAIT_S", 0)
    begun = ask(lab, "mixture", **{**asked, "merges": 1_000})
    assert "error" not in ask(lab, "cancel", run=begun["busy"])
    monkeypatch.setattr(apart, "WAIT_S", 60)
    ended = ask(lab, "mixture", run=True, busy=begun["busy"])
    assert "cancelled" in ended["error"]
    assert ended["samples"]
    assert "no longer here" in ask(lab, "sizes", run=True, busy="x")["error"]


@pytest.mark.parametrize(
    ("do", "more"),
    [
        ("domain", {"domain": "Python", "general": "English", "size": 300}),
        ("extended", {"tokenizer": TARGET, "corpus": "a informação da nação " * 40}),
        ("sizes", {"tokenizer": TARGET}),
        ("train", {"corpus": "the old king saw the sea. " * 200, "kind": "lib", "size": 300}),
    ],
)
def test_domain_languages_curves_and_lib_are_cancelled_and_keep_their_form(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, do: str, more: dict[str, Any]
) -> None:
    monkeypatch.setattr(apart, "WAIT_S", 0)
    begun = ask(lab, do, run=True, **more)
    assert begun["doing"] == "computing"
    assert "error" not in ask(lab, "cancel", run=begun["busy"])
    monkeypatch.setattr(apart, "WAIT_S", 60)
    ended = ask(lab, do, run=True, busy=begun["busy"])
    assert "cancelled" in ended["error"]
    assert ended.keys() >= ask(lab, do).keys()
    assert "said" not in ended
