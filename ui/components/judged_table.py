"""Scores of a judged text as a table, each beside what chance gives, and their definitions."""

import math
from collections.abc import Iterator

import numpy as np

from tokenarium.backend import JudgeResult, Measure
from tokenarium.ui.components.judged import PREFIX
from tokenarium.ui.components.table import Cell, Column, Link, Number, Numbers, table_html
from tokenarium.ui.text import escape
from tokenarium.ui.why.number import number, of_run, source
from tokenarium.ui.why.said import notes

COLUMNS = (
    Column("measure", "Press one to colour the text by it and to draw it below."),
    Column("score", "Of the whole text, as the measure defines it."),
    Column("95 % interval", "What the score could as well be; the definition says how it is made."),
    Column("by chance", "95 % range of the score where its cause is absent."),
    Column("verdict", "Whether the score lies outside what chance gives."),
)
NOTHING = "-"


def judged_sentence(result: JudgeResult, run_id: str = "") -> str:
    """Return how much was judged and what the scores cannot say, as HTML."""
    judged = number(f"{int(result.judged.sum())}", source("judged_tokens"))
    said = (
        f'<p class="tk-sub">{judged} tokens judged. What chance gives is made anew for this text '
        f"and this model, and no score says by itself who wrote a text. {notes(result)}</p>"
    )
    return of_run(said, run_id)


def judged_table(result: JudgeResult, run_id: str = "") -> str:
    """Return every score; pressed, a measure colours the text of the page."""
    rows = [[*_row(result, number)] for number in range(len(result.measures))]
    told = table_html(COLUMNS, rows, "Scores of this text", "No measure was chosen.")
    return of_run(told, run_id)


def _row(result: JudgeResult, row: int) -> Iterator[Cell]:
    slug = result.measures[row]
    measure, found = Measure.registry.find(slug), result[slug]
    coloured = np.isfinite(result.token_score[row]).any()
    yield Link(measure.title, {"metric": PREFIX + slug}) if coloured else measure.title
    yield Numbers((_number(found.score, "score", row), f" {measure.unit}".rstrip()))
    yield _range((found.low, found.high), ("score_low", "score_high"), row)
    yield _range((found.null.low, found.null.high), ("null_low", "null_high"), row)
    yield _verdict(found.score, found.null.low, found.null.high)


def _verdict(score: float, low: float, high: float) -> str:
    if not all(map(math.isfinite, (score, low, high))):
        return "nothing to compare"
    if score > high:
        return "above chance"
    return "below chance" if score < low else "as chance gives"


def _said(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else NOTHING


def _number(value: float, field: str, row: int) -> str | Number:
    said = _said(value)
    return Number(said, source(field, row)) if math.isfinite(value) else said


def _range(ends: tuple[float, float], fields: tuple[str, str], row: int) -> Cell:
    if not math.isfinite(ends[0]):
        return NOTHING
    low, high = (_number(end, field, row) for end, field in zip(ends, fields, strict=True))
    return Numbers((low, " to ", high))


def judged_definitions(result: JudgeResult, run_id: str = "") -> str:
    """Return how each measure, its interval and its chance are defined, as HTML."""
    parts = []
    for row, slug in enumerate(result.measures):
        measure = Measure.registry.find(slug)
        found = result.details.get(slug, {})
        places = {name: place for place, name in enumerate(found)}
        lines = [
            ("Score", measure.formula),
            ("Of a token", f"{measure.each_title}: {measure.each_formula}"),
            ("Interval", measure.interval),
            ("By chance", measure.null_formula),
            ("Source", measure.paper),
        ]
        if measure.differs != "no":
            lines.append(("Variant", measure.differs))
        said = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in lines)
        for name, formula in measure.details.items():
            shown = _said(found.get(name, math.nan))
            if shown != NOTHING:
                shown = number(shown, source("detail", row, places[name]))
            said += f"<dt>{escape(name)} = {shown}</dt><dd>{escape(formula)}</dd>"
        parts.append(
            f"<details><summary>{escape(measure.title)}</summary><dl>{said}</dl></details>"
        )
    return of_run(f'<div class="tk-definitions">{"".join(parts)}</div>', run_id)
