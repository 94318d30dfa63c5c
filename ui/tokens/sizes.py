"""Premium against the size of the vocabulary, as the Tokens page shows it."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from tokenarium.backend import Lab, SizeCurve, UserError, parallel_text
from tokenarium.ui.components.plot import figure_json
from tokenarium.ui.components.table import Cell, Column, Number, Numbers, table_html
from tokenarium.ui.figures.style import opening
from tokenarium.ui.figures.vocabulary_size import vocabulary_size
from tokenarium.ui.text import escape, one_line
from tokenarium.ui.tokens.bars import said_html
from tokenarium.ui.tokens.mixture import own_texts
from tokenarium.ui.why.answer import kept
from tokenarium.ui.why.number import number, of_run, source
from tokenarium.ui.why.tokenizers import of_cut_off, of_trained

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
        wanted, words = asked.get("size"), asked.get("words") is not False
        size = wanted if isinstance(wanted, int) else SIZE
        texts = own_texts(asked)
        files = {_code(title, codes): title for title in texts}
        samples = {code: texts[title] for code, title in files.items()}
        curves = lab.tokenizers.trained_curves(samples, against, size, words=words)
        of = kept(lab).put(of_trained(curves, files, against, size, words), *samples.values())
        said = _trained(curves, name)
    else:
        tokenizer = str(asked.get("tokenizer") or "")
        curves = lab.tokenizers.cut_off_curves(tokenizer, against)
        of = kept(lab).put(of_cut_off(curves, tokenizer, against))
        said = _cut_off(curves, name, lab.tokenizers.get(tokenizer).title)
    return {
        **shown,
        "said": of_run(said_html(said), of),
        "figure": figure_json(opening(vocabulary_size(curves, name), of)),
        "html": of_run(_table(curves, name), of),
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
    spelled = [place for place, curve in enumerate(curves) if curve.premiums[-1].tokens]
    place = max(spelled, key=lambda place: curves[place].premiums[-1].value)
    most, end = curves[place], len(curves[place].entries) - 1
    first, last = most.premiums[0], most.premiums[-1]
    few = number(f"{most.entries[0]:,}", source("curve_entries", place, 0))
    every = number(f"{most.entries[-1]:,}", source("curve_entries", place, end))
    return (
        f"With {few} entries of {escape(title)} {escape(most.text.name)} takes "
        f"{number(f'{first.value:.2f}', source('curve_premium', place, 0))} "
        f"times as many tokens as {escape(against)}, with all {every} it takes "
        f"{number(f'{last.value:.2f}', source('curve_premium', place, end))} times "
        f"({number(f'{last.low:.2f}', source('curve_low', place, end))} to "
        f"{number(f'{last.high:.2f}', source('curve_high', place, end))}), the most of "
        f"{number(f'{len(spelled)} languages', source('spelled'))}."
    )


def _trained(curves: Sequence[SizeCurve], against: str) -> str:
    own = next(place for place, curve in enumerate(curves) if curve.text.name == against)
    mine = curves[own]
    goal, words = mine.premiums[-2], []
    for place, curve in enumerate(curves):
        if place == own:
            continue
        entries, name = curve.entries_for(goal.tokens), escape(curve.text.name)
        most = source("curve_entries", place, len(curve.entries) - 1)
        words.append(
            f"{name} {number(f'{entries:,.0f}', source('entries_for', place, own))}"
            if entries == entries
            else f"{name} more than {number(f'{curve.entries[-1]:,}', most)}"
        )
    values = [curve.premiums[-1].value for curve in curves]
    ended = [
        f" {escape(curve.text.name)} has nothing more to merge after {curve.entries[-1]:,}."
        for curve in curves
        if len(curve.entries) < len(mine.entries)
    ]
    end = len(mine.entries) - 1
    least = number(f"{min(values):.2f}", source("least_premium"))
    largest = number(f"{max(values):.2f}", source("most_premium"))
    return (
        f"Each language with a tokenizer of its own, trained on as many bytes: with up to "
        f"{number(f'{mine.entries[-1]:,}', source('curve_entries', own, end))} entries premiums to "
        f"{escape(against)} end between {least} and "
        f"{largest}.{''.join(ended)} For as few tokens "
        f"as {escape(against)} has with "
        f"{number(f'{mine.entries[-2]:,}', source('curve_entries', own, end - 1))} entries the "
        f"others need: {', '.join(words)}."
    )


def _table(curves: Sequence[SizeCurve], against: str) -> str:
    columns = [Column("language")]
    sizes = max((curve.entries for curve in curves), key=len)
    columns += [
        Column(f"{entries:,} entries", f"Premium to {against}. {_MARKED}") for entries in sizes
    ]
    columns.append(Column("tokens at the end", "Of the eight sentences."))
    rows: list[list[Cell]] = []
    for place in sorted(range(len(curves)), key=lambda n: curves[n].premiums[-1].value):
        curve = curves[place]
        row: list[Cell] = [curve.text.name]
        for size, each in enumerate(curve.premiums):
            shown = [
                Number(f"{getattr(each, field):.2f}", source(f"curve_{name}", place, size))
                for name, field in (("premium", "value"), ("low", "low"), ("high", "high"))
            ]
            parts = (shown[0], " (", shown[1], " to ", shown[2], ")")
            row.append(Numbers(parts) if each.tokens else "left out")
        row += ["no more merges"] * (len(sizes) - len(curve.entries))
        last = source("curve_tokens", place, len(curve.entries) - 1)
        rows.append([*row, Number(f"{curve.premiums[-1].tokens:,}", last)])
    return table_html(columns, rows, f"Premium to {against} as the vocabulary grows", "")
