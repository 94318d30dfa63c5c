"""The answer to a query as bars, lines or points."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from plotly import graph_objects as go

from tokenarium.backend import UserError
from tokenarium.ui.figures.eviction import COLOURS, DASHES
from tokenarium.ui.figures.style import finish
from tokenarium.ui.figures.tradeoff import SYMBOLS
from tokenarium.ui.text import many, plotly_text

Cell = float | int | str | None
CHARTS = ("bar", "line", "scatter")
MOST_GROUPS = 12
"""Values of the colour: more could not be told apart."""


def query_figure(
    columns: Mapping[str, Sequence[Cell]], chart: str, x: str, y: str, colour: str = ""
) -> go.Figure:
    """Draw two columns of a table, a third as colour; rows without a number on y are left out.

    Args:
        columns: by name, all of one length.
        chart: ``bar``, ``line`` (joined in the order of the rows) or ``scatter``.
        x: column of numbers, or of words, which then stand in the order of the rows.
        y: column of numbers.
        colour: column whose values are told apart; empty for none.

    Raises:
        UserError: naming what cannot be drawn, and what can.
    """
    if chart not in CHARTS:
        raise UserError(f"chart={chart!r} is unknown: choose {', '.join(CHARTS)}")
    for name in (x, y, *([colour] if colour else [])):
        if name not in columns:
            raise UserError(f"column {name!r} is not in the result: choose {', '.join(columns)}")
    groups = drawn_rows(columns, y, colour)
    if not groups:
        raise UserError(f"y: column {y!r} has no number to draw: choose another")
    across, kept = columns[x], sorted(row for rows in groups.values() for row in rows)
    counted = all(_is_number(across[row]) for row in kept)
    if len(groups) > MOST_GROUPS:
        raise UserError(
            f"colour: column {colour!r} has {len(groups)} different values, and {MOST_GROUPS} can "
            "be told apart: choose another, or none"
        )
    if chart == "bar":
        _refuse_heaps(across, groups, x)
    figure = go.Figure()
    for number, (name, members) in enumerate(groups.items()):
        figure.add_trace(
            _trace(
                chart,
                number,
                name=plotly_text(name),
                x=[across[m] if counted else _word(across[m]) for m in members],
                y=[columns[y][m] for m in members],
                showlegend=bool(colour),
                hovertemplate=f"{plotly_text(x)} %{{x}}<br>{plotly_text(y)} %{{y:.4g}}",
            )
        )
    figure.update_xaxes(title=plotly_text(x), automargin=True)
    if not counted:
        figure.update_xaxes(type="category", categoryorder="array")
        figure.update_xaxes(categoryarray=list(dict.fromkeys(_word(across[row]) for row in kept)))
    figure.update_yaxes(title=plotly_text(y))
    figure.update_layout(barmode="group")
    by = f", by {colour}" if colour else ""
    return finish(figure, 340, "query", f"{y} against {x}{by}; {many(len(kept), 'row')}")


def drawn_rows(
    columns: Mapping[str, Sequence[Cell]], y: str, colour: str = ""
) -> dict[str, list[int]]:
    """Return the rows that are drawn, by the value of the colour: each a trace of the figure."""
    groups: dict[str, list[int]] = {}
    for row, value in enumerate(columns[y]):
        if _is_number(value):
            groups.setdefault(_word(columns[colour][row]) if colour else "", []).append(row)
    return groups


def _refuse_heaps(across: Sequence[Cell], groups: Mapping[str, Sequence[int]], x: str) -> None:
    """Refuse several bars in one place, which would be drawn as one of their sum."""
    for members in groups.values():
        if len({across[member] for member in members}) < len(members):
            raise UserError(
                f"x: column {x!r} has the same value in several rows, whose bars would be added "
                "up: choose points, another x or colour, or GROUP BY in the query"
            )


def _trace(chart: str, number: int, **values: Any) -> Any:
    hue = COLOURS[(number + 1) % len(COLOURS)]  # the first is grey
    if chart == "bar":
        return go.Bar(marker={"color": hue}, **values)
    marker = {"color": hue, "size": 7, "symbol": SYMBOLS[number % len(SYMBOLS)]}
    if chart == "scatter":
        return go.Scatter(mode="markers", marker=marker, **values)
    line = {"color": hue, "width": 1.5, "dash": DASHES[number % len(DASHES)]}
    return go.Scatter(mode="lines+markers", line=line, marker={**marker, "size": 5}, **values)


def _is_number(value: object) -> bool:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return numeric and math.isfinite(float(value))  # type: ignore[arg-type]


def _word(value: Cell) -> str:
    return "NULL" if value is None else str(value)
