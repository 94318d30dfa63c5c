"""Heat maps of one number per head, from arrays; a click chooses layer and head.

A grid grows with the model: every layer keeps a row that can be read and pressed, marks are as
large as one cell, and the axes end where the layers and heads do.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from tokenarium.ui.figures.definitions import defined
from tokenarium.ui.figures.style import AMBER, SCALE, colour_bar, finish

DIFFERENCE_SCALE = "PuOr"
"""Two colours that differ in every kind of colour vision; pale where nothing changed."""
USUAL_HEIGHT, LEAST_HEIGHT = 340, 220
ABOVE, BELOW = 8, 40
"""Pixels over and under the cells."""
LEAST_ROW, ROW, MOST_ROW = 14, 18, 60
"""Pixels of a row: of a deep model, of most, and of one with few layers."""
DEEP = 48
MOST_WRITTEN = 24
"""Heads beside each other of which no screen has room for a number in every cell."""
INSET = 0.05
"""Share of a cell that is left free within a mark, so that marks side by side stay apart."""


def grid_cells(
    values: NDArray[np.floating],
    title: str,
    definition: str = "",
    *,
    low: float | None = 0,
    high: float | None = None,
    scale: str = SCALE,
) -> go.Heatmap:
    """Return the cells [L, H]; numbers are written into them where they may have room.

    The page leaves the numbers out where its cells are too narrow for them.
    """
    written: dict[str, Any] = {}
    if values.shape[1] <= MOST_WRITTEN:
        written = {"texttemplate": f"%{{z:{_form(values)}}}", "textfont": {"size": 10}}
    return go.Heatmap(
        z=values.astype(np.float32),
        colorscale=scale,
        zmin=low,
        zmax=high,
        xgap=2,
        ygap=2,
        colorbar=colour_bar(title),
        hovertemplate=f"layer %{{y}}, head %{{x}}<br>{title} %{{z:.3f}}"
        f"{defined(definition) if definition else ''}<extra></extra>",
        **written,
    )


def difference_cells(values: NDArray[np.floating], title: str, definition: str) -> go.Heatmap:
    """Return cells of differences, on a scale that is even on both sides of zero."""
    end = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0
    return grid_cells(
        values, title, definition, low=-end or -1.0, high=end or 1.0, scale=DIFFERENCE_SCALE
    )


def cell_marks(marked: NDArray[np.bool_], name: str) -> go.Scatter:
    """Return the outline of every marked cell [L, H]: a rectangle within it, at any size."""
    layers, heads = np.nonzero(marked)
    half = 0.5 - INSET
    across, down = (half * np.array(side) for side in ([-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]))
    gap = np.full((len(layers), 1), np.nan)
    return go.Scatter(
        x=np.hstack([heads[:, None] + across, gap]).ravel(),
        y=np.hstack([layers[:, None] + down, gap]).ravel(),
        mode="lines",
        name=name,
        line={"color": AMBER, "width": 1.5},
        connectgaps=False,
        hoverinfo="skip",
    )


def by_head(figure: go.Figure, shape: tuple[int, ...], name: str, label: str) -> go.Figure:
    """Set the layout of layer x head grids of ``shape`` [L, H], beside each other if several."""
    layers, heads = shape
    figure.update_xaxes(**counted("head", heads))
    figure.update_yaxes(**counted("layer", layers, downwards=True))
    maps = [trace for trace in figure.data if isinstance(trace, go.Heatmap)]
    characters = max((_characters(cells) for cells in maps), default=0)
    return finish(
        figure,
        grid_height(layers),
        name,
        label,
        x="head",
        y="layer",
        # What the page needs to know whether numbers have room in a cell.
        numbers={"across": heads * len(maps), "characters": characters} if characters else None,
    )


def counted(title: str, count: int, *, downwards: bool = False) -> dict[str, Any]:
    """Return an axis of the whole numbers from 0 to ``count``, cut there, ticks at round ones."""
    ends = [-0.5, count - 0.5]
    return {
        "title": title,
        "range": ends[::-1] if downwards else ends,
        "autorange": False,
        "tickmode": "linear",
        "tick0": 0,
        "dtick": tick(count),
        "showgrid": False,
        "zeroline": False,
    }


def tick(count: int) -> int:
    """Return how far apart the ticks of an axis of ``count`` cells are: 1, 2, 5 or 10."""
    return next((step for step, most in ((1, 12), (2, 24), (5, 60)) if count <= most), 10)


def grid_height(rows: int) -> int:
    """Return the height in pixels of a figure of so many rows, axis and margins included."""
    row = min(
        max((USUAL_HEIGHT - ABOVE - BELOW) // rows, LEAST_ROW if rows > DEEP else ROW), MOST_ROW
    )
    return max(ABOVE + BELOW + rows * row, LEAST_HEIGHT)


def _form(values: NDArray[np.floating]) -> str:
    """Return how numbers are written: with as many decimals as three digits leave."""
    known = np.abs(values[np.isfinite(values)])
    largest = float(known.max()) if known.size else 0.0
    return ".0f" if largest >= 100 else ".1f" if largest >= 10 else ".2f"


def _characters(cells: go.Heatmap) -> int:
    """Return how long the longest number in the cells is; 0 where none is written."""
    if cells.texttemplate is None:
        return 0
    values = np.asarray(cells.z, np.float64)
    form = _form(values)
    return max(
        (len(format(value, form)) for value in values[np.isfinite(values)].tolist()), default=1
    )
