"""Premium against the size of the vocabulary, as the Tokens page shows it."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from tokenarium.backend import Lab, SizeCurve, UserError, parallel_text
from tokenarium.ui.components.plot import figure_json
from tokenarium.ui.components.table import Cell, Column, table_html
from tokenarium.ui.figures.vocabulary_size import vocabulary_size
from tokenarium.ui.text import one_line
from tokenarium.ui.tokens.mixture import own_texts

SIZE = 4_000
_MARKED = (
    "Tokens / tokens of the other language; in brackets 95 % of 2,000 draws of sentences anew."
)


def sizes(lab: Lab, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return curves of one tokenizer cut off, or of tokenizers trained on the visitor's texts."""
    codes = {text.code: text.name for text in parallel_text()}
    against = str(asked.get("against")) if asked.get("against") in codes else "en"
    shown: dict[str, Any] = {
        "languages": [[code, name] for code, name in codes.items()],
        "against": against,
        "size": SIZE,
    }
    if not asked.get("run"):
        return shown
    name = codes[against]
    if asked.get("source") == "train":
        size = asked.get("size")
        samples = {_code(title, codes): text for title, text in own_texts(asked).items()}
        curves = lab.tokenizers.trained_curves(
            samples,
            against,
            size if isinstance(size, int) else SIZE,
            words=asked.get("words") is not False,
        )
        said = _trained(curves, name)
    else:
        tokenizer = str(asked.get("tokenizer") or "")
        curves = lab.tokenizers.cut_off_curves(tokenizer, against)
        said = _cut_off(curves, name, lab.tokenizers.get(tokenizer).title)
    return {
        **shown,
        "said": said,
        "figure": figure_json(vocabulary_size(curves, name)),
        "html": _table(curves, name),
    }


def _code(title: str, codes: Mapping[str, str]) -> str:
    """Return the language that a file is named by: ``de.txt`` or ``German.txt``."""
    stem = PurePath(title).stem.strip().lower()
    for code, name in codes.items():
        if stem in (code, name.lower()):
            return code
    raise UserError(
        f"the file {one_line(title)!r} does not say its language: name each file by it, such as "
        f"de.txt or German.txt; there are {', '.join(codes.values())}"
    )


def _cut_off(curves: Sequence[SizeCurve], against: str, title: str) -> str:
    spelled = [curve for curve in curves if curve.premiums[-1].tokens]
    most = max(spelled, key=lambda curve: curve.premiums[-1].value)
    first, last = most.premiums[0], most.premiums[-1]
    return (
        f"With {most.entries[0]:,} entries of {title} {most.text.name} takes {first.value:.2f} "
        f"times as many tokens as {against}, with all {most.entries[-1]:,} it takes "
        f"{last.value:.2f} times ({last.low:.2f} to {last.high:.2f}), the most of "
        f"{len(spelled)} languages."
    )


def _trained(curves: Sequence[SizeCurve], against: str) -> str:
    own = next(curve for curve in curves if curve.text.name == against)
    goal, words = own.premiums[-2], []
    for curve in curves:
        if curve is own:
            continue
        entries = curve.entries_for(goal.tokens)
        words.append(
            f"{curve.text.name} {entries:,.0f}"
            if entries == entries
            else f"{curve.text.name} more than {curve.entries[-1]:,}"
        )
    values = [curve.premiums[-1].value for curve in curves]
    ended = [
        f" {curve.text.name} has nothing more to merge after {curve.entries[-1]:,}."
        for curve in curves
        if len(curve.entries) < len(own.entries)
    ]
    return (
        f"Each language with a tokenizer of its own, trained on as many bytes: with up to "
        f"{own.entries[-1]:,} entries premiums to {against} end between {min(values):.2f} and "
        f"{max(values):.2f}.{''.join(ended)} For as few tokens as {against} has with "
        f"{own.entries[-2]:,} entries the others need: {', '.join(words)}."
    )


def _table(curves: Sequence[SizeCurve], against: str) -> str:
    columns = [Column("language")]
    sizes = max((curve.entries for curve in curves), key=len)
    columns += [
        Column(f"{entries:,} entries", f"Premium to {against}. {_MARKED}") for entries in sizes
    ]
    columns.append(Column("tokens at the end", "Of the eight sentences."))
    rows: list[list[Cell]] = []
    for curve in sorted(curves, key=lambda curve: curve.premiums[-1].value):
        row: list[Cell] = [curve.text.name]
        for each in curve.premiums:
            shown = f"{each.value:.2f} ({each.low:.2f} to {each.high:.2f})"
            row.append(shown if each.tokens else "left out")
        row += ["no more merges"] * (len(sizes) - len(curve.entries))
        rows.append([*row, f"{curve.premiums[-1].tokens:,}"])
    return table_html(columns, rows, f"Premium to {against} as the vocabulary grows", "")
