"""The numbers of a figure as a table: one row for every mark that is drawn, columns with units."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from itertools import pairwise
from typing import Any

import numpy as np
from plotly.graph_objects import Figure

Row = dict[str, Any]
_TAG = re.compile(r"</?[a-z][^>]*>", re.IGNORECASE)
FORMULA = re.compile(r"[=+@\-\t\r]")


def marks(figure: Figure) -> dict[str, list[Any]]:
    """Return what a figure draws, by column: ``series`` first, where traces have names.

    Columns are called as the axes are, with their units, or as ``layout.meta.columns`` says for
    ``x``, ``y``, ``z`` and ``custom`` (what points carry beside their place). Outlines, which mark
    what is drawn already, are left out; so are logarithmic scales: numbers are as measured.

    >>> marks(run.figure("sinks"))["sink score"]  # doctest: +SKIP
    """
    shown = [trace for trace in figure.data if trace.hoverinfo != "skip"]
    maps = [trace for trace in shown if trace.type == "heatmap"]
    titles = [
        plain(note.text)
        for note in figure.layout.annotations
        if note.yanchor == "bottom" and note.xref == "paper"
    ]
    rows: list[Row] = []
    for trace in shown:
        series = plain(trace.name)
        if trace.type == "heatmap" and len(titles) == len(maps) > 1:
            series = titles[maps.index(trace)]
        found = _cells(trace, figure) if trace.type == "heatmap" else _points(trace, figure)
        rows += [{"series": series, **row} if series else row for row in found]
    names = dict.fromkeys(name for row in rows for name in row)
    ordered = ["series", *names] if "series" in names else list(names)
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(ordered)}


def marks_csv(figure: Figure) -> str:
    """Return ``marks`` as CSV with a line of names; what has no number is empty."""
    columns = marks(figure)
    found = io.StringIO()
    writer = csv.writer(found, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(map(_written, zip(*columns.values(), strict=True)))
    return found.getvalue()


def plain(text: object) -> str:
    """Return what Plotly writes for a text: it reads a subset of HTML."""
    spaced = re.sub(r"<br\s*/?>", " ", str(text or ""))
    return unescape(_TAG.sub("", spaced))


def _written(row: Sequence[Any]) -> list[str]:
    return ["" if value is None or value != value else _cell(value) for value in row]


def _cell(value: Any) -> str:
    text = str(value)
    # A spreadsheet shall not take a token for a formula.
    return f"'{text}" if isinstance(value, str) and FORMULA.match(text) else text


def _cells(trace: Any, figure: Figure) -> Iterator[Row]:
    values, meta = np.asarray(trace.z), _meta(figure)
    names: Mapping[str, Any] = meta.get("names", {})
    across, down = _named(trace, figure, "x"), _named(trace, figure, "y")
    if across == down:
        across, down = f"{across} (column)", f"{down} (row)"
    value = _titles(meta).get("z") or _bar(trace, figure) or "value"
    columns = _places(trace.x, values.shape[1], names.get("columns"))
    texts = None if names else _texts(trace)
    for row, place in enumerate(_places(trace.y, values.shape[0], names.get("rows"))):
        for column, at in enumerate(columns):
            found = {down: place, across: at, value: values[row, column]}
            text = None if texts is None else texts[row][column]
            yield {**found, "text": plain(text)} if isinstance(text, str) else found


def _points(trace: Any, figure: Figure) -> Iterator[Row]:
    meta = _meta(figure)
    custom = trace.customdata
    names: Sequence[str] = _titles(meta).get("custom") or meta.get("point") or ()
    sides = ("y", "x") if getattr(trace, "orientation", None) == "h" else ("x", "y")
    titles = [_named(trace, figure, side) for side in sides]
    labels = [_labels(trace, figure, side) for side in sides]
    for index in range(len(trace.x)):
        row: Row = {}
        for side, title, words in zip(sides, titles, labels, strict=True):
            value = trace[side][index]
            row[title] = plain(value) if isinstance(value, str) else value
            if words:
                row[f"{title} name"] = words.get(value, "")
        carried = None if custom is None else custom[index]
        if isinstance(carried, str):
            row["text"] = plain(carried)
        elif names:
            parts = np.atleast_1d(np.asarray(carried, object))
            row |= dict(zip(names, parts, strict=False))
        yield row


def _meta(figure: Figure) -> Mapping[str, Any]:
    return figure.layout.meta or {}


def _titles(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = meta.get("columns", {})
    return found


def _axis(trace: Any, figure: Figure, side: str) -> Any:
    return figure.layout[f"{side}axis{(trace[f'{side}axis'] or side)[1:]}"]


def _named(trace: Any, figure: Figure, side: str) -> str:
    """Return the title of an axis, or of another one that is read with it."""
    meta = _meta(figure)
    if side in _titles(meta):
        return str(_titles(meta)[side])
    own = plain(_axis(trace, figure, side).title.text)
    others = (
        plain(figure.layout[name].title.text)
        for name in figure.layout.to_plotly_json()
        if name.startswith(f"{side}axis")
    )
    shared = next(filter(None, others), "") if side == "x" else ""
    return own or shared or str(meta.get(side) or side)


def _labels(trace: Any, figure: Figure, side: str) -> dict[Any, str]:
    """Return what stands beside an axis in place of its numbers."""
    axis = _axis(trace, figure, side)
    if axis.ticktext is None:
        return {}
    return dict(zip(axis.tickvals, map(plain, axis.ticktext), strict=True))


def _bar(trace: Any, figure: Figure) -> str:
    bar = figure.layout.coloraxis.colorbar if trace.coloraxis else trace.colorbar
    return plain(bar.title.text)


def _texts(trace: Any) -> Any:
    """Return words of the cells: what stands for a cell in full comes before what it shows."""
    for found in (trace.customdata, trace.text):
        if found is not None and len(found) and not isinstance(found[0], str):
            return found
    return None


def _places(given: Any, count: int, names: Sequence[str] | None) -> list[Any]:
    """Return where the cells of an axis are: their centres, or what lies between two edges."""
    if names:
        return list(names)
    if given is None:
        return list(range(count))
    if len(given) == count:
        return list(given)
    ends = np.ceil(np.asarray(given)).astype(int).tolist()
    return [f"{a} to {b - 1}" if b - 1 > a else str(a) for a, b in pairwise(ends)]
