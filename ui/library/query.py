"""The answer to a query as the browser draws it: a table, a figure, a file."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenarium.backend import Lab, UserError, Visitor
from tokenarium.ui.components.plot import figure_json
from tokenarium.ui.figures.query import Cell, query_figure
from tokenarium.ui.figures.style import opening
from tokenarium.ui.text import many
from tokenarium.ui.why.answer import kept
from tokenarium.ui.why.library import of_drawn, of_query

SHOWN = 200
"""Rows that the page shows; all that came are drawn."""
MOST_COLUMNS = 60
LONGEST_CELL = 160
EXACT = 2**53
"""Whole numbers beyond it are no numbers that a browser can hold."""
FILES = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}


def answered(lab: Lab, sql: str, visitor: Visitor) -> dict[str, Any]:
    """Return the rows of a query and what was cut off.

    Raises:
        UserError: with the reason of a refusal.
    """
    found = lab.query(sql, visitor=visitor)
    if found.num_columns > MOST_COLUMNS:
        raise UserError(
            f"the result has {found.num_columns} columns: select at most {MOST_COLUMNS}"
        )
    columns = [[_cell(value) for value in column.to_pylist()] for column in found.columns]
    numeric = [any(isinstance(cell, int | float) for cell in column) for column in columns]
    shown = [
        column[:SHOWN] if counts else [] for column, counts in zip(columns, numeric, strict=True)
    ]
    return {
        "of": kept(lab).put(of_query(sql, found.column_names, shown), visitor),
        "names": _distinct(found.column_names),
        "columns": columns,
        "numeric": numeric,
        "said": _said(found.num_rows, str(found.schema.metadata[b"truncated"], "ascii") == "true"),
    }


@dataclass(frozen=True)
class Opens:
    """What a figure's numbers open: rows of a query that was answered."""

    lab: Lab
    of: object
    """Name of its answer, as a browser sends it back."""
    names: object
    """Of all its columns, as a browser sends them back."""
    visitor: Visitor

    def put(self, columns: Mapping[str, Sequence[Cell]], chosen: Mapping[str, str]) -> str:
        """Keep the figure as an answer and return its name; empty where the query's is gone."""
        names = self.names if isinstance(self.names, list) else []
        query = kept(self.lab).get(self.of) if isinstance(self.of, str) else None
        if query is None or chosen["x"] not in names or chosen["y"] not in names:
            return ""
        if f"column_{names.index(chosen['y'])}" not in query.numbers:
            return ""  # the answer to something else
        figure = of_drawn(query, names, columns, chosen)
        return kept(self.lab).put(figure, self.visitor, "figure", *chosen.values())


def drawn(
    chosen: Mapping[str, Any],
    columns: Mapping[str, Sequence[Cell]],
    opens: Opens | None = None,
) -> str:
    """Return the figure of some columns as JSON.

    Args:
        chosen: ``chart``, ``x``, ``y`` and ``colour``.
        columns: by name; what is no list of cells is not there.
        opens: what its numbers open; nothing where it is None.

    Raises:
        UserError: naming what cannot be drawn.
    """
    asked = {name: str(chosen.get(name) or "") for name in ("chart", "x", "y", "colour")}
    figure = query_figure(columns, **asked)
    if opens is not None and (of := opens.put(columns, asked)):
        opening(figure, of)
    return figure_json(figure)


def usual(names: Sequence[str], columns: Sequence[Sequence[Cell]]) -> dict[str, str] | None:
    """Return what is drawn of a result where nobody chose: None where it has no numbers."""
    numeric = [
        name
        for name, column in zip(names, columns, strict=True)
        if any(isinstance(cell, int | float) for cell in column)
    ]
    if not numeric or len(names) < 2:
        return None
    y = next((name for name in numeric if name != names[0]), numeric[0])
    x = names[0] if names[0] != y else names[1]
    across = columns[names.index(x)]
    bars = x not in numeric and len(set(across)) == len(across)
    return {"chart": "bar" if bars else "scatter", "x": x, "y": y, "colour": ""}


def cells(value: object, most: int) -> dict[str, list[Cell]]:
    """Return the columns that a browser sends back, every cell checked."""
    given = value if isinstance(value, dict) else {}
    return {
        name: [cell if isinstance(cell, int | float | str) else None for cell in column[:most]]
        for name, column in given.items()
        if isinstance(name, str) and isinstance(column, list)
    }


def file_of(lab: Lab, sql: str, format: str, visitor: Visitor) -> dict[str, str]:  # noqa: A002
    """Return all rows of a query as a file.

    Raises:
        UserError: with the reason of a refusal.
    """
    if format not in FILES:
        raise UserError(f"format={format!r:.40} is unknown: choose {' or '.join(FILES)}")
    made = lab.query_file(sql, format, visitor=visitor)  # type: ignore[arg-type]
    content = base64.b64encode(made).decode()
    return {"name": f"tokenarium-query.{format}", "type": FILES[format], "base64": content}


def _cell(value: object) -> Cell:
    if value is None or isinstance(value, bool):
        return None if value is None else str(value).lower()
    if isinstance(value, int | float):
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value if abs(value) < EXACT else str(value)
    if isinstance(value, bytes):
        return many(len(value), "byte")
    text = str(value)
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"


def _said(rows: int, cut: bool) -> str:
    if not rows:
        return "No row fulfils this query."
    first = f"The first {SHOWN} of {rows:,} rows" if rows > SHOWN else many(rows, "row")
    more = "; there are more, a file has up to a hundred times as many" if cut else ""
    return f"{first}{more}."


def _distinct(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        shown = name[:LONGEST_CELL]
        while shown in found:
            shown += "'"
        found.append(shown)
    return found
