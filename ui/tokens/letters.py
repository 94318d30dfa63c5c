"""Questions about the letters of words, as the Tokens page shows them."""

from collections.abc import Mapping
from typing import Any

from tokenarium.backend import CharactersRequest, CharactersResult, Lab, UserError, Visitor
from tokenarium.ui.components.table import Cell, Column, Number, table_html
from tokenarium.ui.text import escape, many
from tokenarium.ui.tokens.bars import said_html
from tokenarium.ui.tokens.runs import models_of, started
from tokenarium.ui.why.number import number, of_run, source

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
        "said": of_run(said_html(_said(found.result, request.model)), found.id),
        "html": of_run(_table(found.result), found.id),
    }


def _said(result: CharactersResult, model: str) -> str:
    right = number(str(round(result.accuracy * len(result.word))), source("right_answers"))
    asked = number(many(len(result.word), "question"), source("questions"))
    words = (
        f"{escape(model)} prefers the right answer to {right} of {asked} "
        f"({number(f'{result.accuracy:.0%}', source('accuracy'))}); always saying "
        f"{number(str(result.usual_answer), source('usual_answer'))} would be right "
        f"{number(f'{result.usual_accuracy:.0%}', source('usual_accuracy'))} of the time."
    )
    low, high = result.slope_low_nats, result.slope_high_nats
    if result.slope_nats != result.slope_nats:
        return words + " All letters stand in tokens of one length, so nothing follows from that."
    finding = "no difference between longer and shorter tokens is beyond chance"
    if high < 0:
        finding = "letters inside of longer tokens are known less well"
    if low > 0:
        finding = "letters inside of longer tokens are known better"
    slope, least, most = (
        number(f"{getattr(result, name):+.2f}{unit}", source(name))
        for name, unit in (("slope_nats", " nats"), ("slope_low_nats", ""), ("slope_high_nats", ""))
    )
    return (
        f"{words} For each letter that the token is longer, the margin changes by {slope} "
        f"({least} to {most}): {finding}."
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
    for place in range(len(result.word)):
        row: list[Cell] = [result.word[place], result.letter[place]]
        for name in names[2:]:
            value = getattr(result, name)[place]
            said = f"{value:+.2f}" if name == "margin_nats" else str(int(value))
            row.append(Number(said, source(name, place)))
        rows.append(row)
    return table_html(columns, rows, "Each question", "")
