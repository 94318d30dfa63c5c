"""Questions about the letters of words, as the Tokens page shows them."""

from collections.abc import Mapping
from typing import Any

from tokenarium.backend import CharactersRequest, CharactersResult, Lab, UserError, Visitor
from tokenarium.ui.components.table import Cell, Column, Number, table_html
from tokenarium.ui.text import many
from tokenarium.ui.tokens.runs import models_of, started
from tokenarium.ui.why.number import of_run, source

MOST_WORDS = 64


def letters(lab: Lab, asked: Mapping[str, Any], visitor: Visitor | str) -> dict[str, Any]:
    """Return what a model knows of the letters of words, or how far that is."""
    usual = CharactersRequest.model_fields["words"].default
    shown: dict[str, Any] = {"models": models_of(lab), "words": " ".join(usual)}
    if not asked.get("run"):
        return shown
    words = str(asked.get("words") or "").replace(",", " ").split()[:MOST_WORDS]
    if not words:
        raise UserError(f"words is empty: give 1 to {MOST_WORDS}")
    request = lab.request(
        CharactersRequest,
        model=str(asked.get("model") or ""),
        words=tuple(dict.fromkeys(words)),
        task=asked.get("task", "count"),
    )
    found = started(lab, request, visitor)
    if isinstance(found, dict):
        return {**shown, **found}
    assert isinstance(found.result, CharactersResult)
    return {
        **shown,
        "run": found.id,
        "said": _said(found.result, request.model),
        "html": of_run(_table(found.result), found.id),
    }


def _said(result: CharactersResult, model: str) -> str:
    right = round(result.accuracy * len(result.word))
    words = (
        f"{model} prefers the right answer to {right} of {many(len(result.word), 'question')} "
        f"({result.accuracy:.0%}); always saying {result.usual_answer} would be right "
        f"{result.usual_accuracy:.0%} of the time."
    )
    low, high = result.slope_low_nats, result.slope_high_nats
    if result.slope_nats != result.slope_nats:
        return words + " All letters stand in tokens of one length, so nothing follows from that."
    finding = "no difference between longer and shorter tokens is beyond chance"
    if high < 0:
        finding = "letters inside of longer tokens are known less well"
    if low > 0:
        finding = "letters inside of longer tokens are known better"
    return f"{words} For each letter that the token is longer, the margin changes by " + (
        f"{result.slope_nats:+.2f} nats ({low:+.2f} to {high:+.2f}): {finding}."
    )


def _table(result: CharactersResult) -> str:
    defined = type(result).quantities()
    names = (
        *("word", "letter", "answer", "said", "margin_nats"),
        *("token_length", "word_tokens"),
    )
    columns = [
        Column(defined[name].title, f"{defined[name].meaning} {defined[name].formula}")
        for name in names
    ]
    rows: list[list[Cell]] = []
    for number in range(len(result.word)):
        row: list[Cell] = [result.word[number], result.letter[number]]
        for name in names[2:]:
            value = getattr(result, name)[number]
            said = f"{value:+.2f}" if name == "margin_nats" else str(int(value))
            row.append(Number(said, source(name, number)))
        rows.append(row)
    return table_html(columns, rows, "Each question", "")
