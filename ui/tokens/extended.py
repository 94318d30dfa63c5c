"""A tokenizer with merges of another language, as the Tokens page shows it."""

from collections.abc import Mapping
from typing import Any

from tokenarium.backend import (
    Extension,
    Lab,
    NewTokensRequest,
    Visitor,
    parallel_text,
    portuguese_text,
)
from tokenarium.ui.components.table import Cell, Column, table_html
from tokenarium.ui.text import escape, many, one_line
from tokenarium.ui.tokens.added import swapped
from tokenarium.ui.tokens.runs import models_of, started

MERGES = 500
MOST = 32
SHOWN = 24
_PAPER = "Larcher et al., 2023, arXiv:2308.11878"


def extensions(lab: Lab, asked: Mapping[str, Any], visitor: Visitor | str) -> dict[str, Any]:
    """Return what can be asked; what merges save in each language; what they cost a model."""
    languages = {text.code: text for text in parallel_text()}
    language = str(asked.get("language")) if asked.get("language") in languages else "pt"
    shown: dict[str, Any] = {
        "languages": [[code, text.name] for code, text in languages.items()],
        "language": language,
        "models": models_of(lab),
        "corpus": portuguese_text(),
        "merges": MERGES,
        "most": MOST,
    }
    corpus, merges = str(asked.get("corpus") or ""), asked.get("merges")
    count = merges if isinstance(merges, int) else MERGES
    if asked.get("run") == "price":
        most = asked.get("most")
        request = lab.request(
            NewTokensRequest,
            model=str(asked.get("model") or ""),
            text=languages[language].text,
            corpus=corpus,
            merges=count,
            most=most if isinstance(most, int) else MOST,
        )
        found = started(lab, request, visitor)
        return {**shown, **(found if isinstance(found, dict) else {"price": swapped(lab, found)})}
    if not asked.get("run"):
        return shown
    made = lab.tokenizers.extend(str(asked.get("tokenizer") or ""), corpus, count)
    return {
        **shown,
        "said": _said(made, language),
        "html": _languages(made, language) + _pieces(made),
        "name": made.name,
    }


def _said(made: Extension, language: str) -> str:
    by = {each.text.code: each for each in made.languages}
    own, english = by[language], by["en"]
    words = (
        f"{many(len(made.pieces), 'new token')}, trained on {many(made.trained_bytes, 'byte')}: "
        f"the paragraph in {own.text.name} goes from {own.before:,} to {own.after:,} tokens, "
        f"{own.ratio.value:.2f} times as many ({own.ratio.low:.2f} to {own.ratio.high:.2f})"
    )
    if own is english or not (own.before and english.before and english.after):
        return words + "."
    return words + (
        f", and its premium to English from {own.before / english.before:.2f} to "
        f"{own.after / english.after:.2f}. English goes from {english.before:,} to "
        f"{english.after:,}."
    )


def _languages(made: Extension, language: str) -> str:
    columns = [
        Column("language"),
        Column("tokens before", "Of the eight sentences, which none was trained on."),
        Column("tokens after"),
        Column(
            "after / before",
            "In brackets 95 % of 2,000 draws of the eight sentences anew. New merges are done "
            f"after all old ones, so that no text becomes longer ({_PAPER}; a variant: there a "
            "tokenizer is trained alone and its pieces are added).",
        ),
    ]
    shown = [e for e in made.languages if e.after != e.before or e.text.code in (language, "en")]
    order = sorted(shown, key=lambda each: (each.text.code != language, each.ratio.value))
    others = len(made.languages) - len(shown)
    rows: list[list[Cell]] = [
        [
            each.text.name,
            f"{each.before:,}",
            f"{each.after:,}",
            f"{each.ratio.value:.3f} ({each.ratio.low:.3f} to {each.ratio.high:.3f})",
        ]
        for each in order
    ]
    same = f"; {many(others, 'other language')} stay as they were" if others else ""
    return table_html(columns, rows, f"The same eight sentences before and after{same}", "")


def _pieces(made: Extension) -> str:
    pieces = ", ".join(one_line(piece).replace(" ", "·") for piece in made.pieces[:SHOWN])
    return f'<p class="tk-sub">{escape(f"The first new tokens: {pieces}.")}</p>'
