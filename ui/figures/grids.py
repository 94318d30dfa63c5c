"""Heat maps of one number per head, from arrays; a click chooses layer and head."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from tokenarium.ui.figures.definitions import defined
from tokenarium.ui.figures.style import SCALE, colour_bar, finish

DIFFERENCE_SCALE = "PuOr"
"""Two colours that differ in every kind of colour vision; pale where nothing changed."""


def grid_cells(
    values: NDArray[np.floating],
    title: str,
    definition: str,
    *,
    low: float | None = 0,
    high: float | None = None,
    scale: str = SCALE,
) -> go.Heatmap:
    """Return the cells [L, H]; numbers are written into them where they can be read."""
    layers, heads = values.shape
    written: dict[str, Any] = {}
    if heads <= 16 and layers <= 32:
        written = {"texttemplate": "%{z:.2f}", "textfont": {"size": 10}}
    return go.Heatmap(
        z=values.astype(np.float32),
        colorscale=scale,
        zmin=low,
        zmax=high,
        xgap=2,
        ygap=2,
        colorbar=colour_bar(title),
        hovertemplate=f"layer %{{y}}, head %{{x}}<br>{title} %{{z:.3f}}{defined(definition)}"
        "<extra></extra>",
        **written,
    )


def difference_cells(values: NDArray[np.floating], title: str, definition: str) -> go.Heatmap:
    """Return cells of differences, on a scale that is even on both sides of zero."""
    end = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0
    return grid_cells(
        values, title, definition, low=-end or -1.0, high=end or 1.0, scale=DIFFERENCE_SCALE
    )


def by_head(
    figure: go.Figure, shape: tuple[int, ...], name: str, label: str, height: int = 340
) -> go.Figure:
    """Set the layout of a layer x head grid of ``shape`` [L, H]."""
    layers, heads = shape
    figure.update_xaxes(title="head", dtick=max(1, heads // 16), showgrid=False)
    figure.update_yaxes(
        title="layer", autorange="reversed", dtick=max(1, layers // 16), showgrid=False
    )
    return finish(figure, height, name, label, x="head", y="layer")
