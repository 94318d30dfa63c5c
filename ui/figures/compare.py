"""Two runs on the same scales: which heads switch, and where everything else differs."""

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from tokenarium.backend import MEASURES, Comparison
from tokenarium.ui.figures.definitions import defined
from tokenarium.ui.figures.grids import by_head, difference_cells, grid_cells
from tokenarium.ui.figures.style import AMBER, GREY, SCALE, colour_bar, finish

TITLES = 20
"""Pixels of the names over two grids."""


def switching_heads(comparison: Comparison, first_name: str, second_name: str) -> go.Figure:
    """Draw the sink score of every head in both runs; diamonds off the diagonal switch.

    Args:
        first_name, second_name: what the runs are called on the axes.
    """
    x, y = comparison.first["sink"], comparison.second["sink"]
    threshold = comparison.threshold
    kinds = (
        (~comparison.switched, "same side of the threshold", "circle", GREY, 7),
        (comparison.switched, "switches", "diamond", AMBER, 11),
    )
    figure = go.Figure([_points(x, y, *kind) for kind in kinds])
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"color": GREY, "dash": "dot"})
    figure.add_hline(y=threshold, line={"color": GREY, "width": 1})
    figure.add_vline(x=threshold, line={"color": GREY, "width": 1})
    highest = max(threshold, *(float(v[np.isfinite(v)].max(initial=0)) for v in (x, y)))
    ends = [-0.05 * highest, 1.05 * highest]
    over = f"sink score, first {comparison.length} tokens"
    figure.update_xaxes(title=f"{over}<br>{first_name}", range=ends, automargin=True)
    figure.update_yaxes(title=f"{over}<br>{second_name}", range=ends, automargin=True)
    label = (
        f"Sink scores of every head in both runs, over the first {comparison.length} tokens: "
        f"{int(comparison.switched.sum())} switch at {threshold:g}"
    )
    return finish(figure, 420, "switching-heads", label, point=["layer", "head"])


def side_by_side(
    comparison: Comparison, measure: str, first_name: str, second_name: str
) -> go.Figure:
    """Draw one measure of every head for both runs, in one scale of colours."""
    chosen = MEASURES[measure]
    both = comparison.first[measure], comparison.second[measure]
    names = (first_name, second_name)
    figure = make_subplots(rows=1, cols=2, subplot_titles=names, horizontal_spacing=0.08)
    for column, values in enumerate(both, start=1):
        cells = grid_cells(values, _titled(comparison, measure), chosen.definition)
        cells.update(coloraxis="coloraxis", colorbar=None)
        figure.add_trace(cells, row=1, col=column)
    highest = max(float(v[np.isfinite(v)].max(initial=0)) for v in both)
    figure.update_layout(
        coloraxis={
            "colorscale": SCALE,
            "cmin": chosen.low,
            "cmax": (highest or 1.0) if chosen.high is None else chosen.high,
            "colorbar": colour_bar(_titled(comparison, measure)),
        }
    )
    label = f"{_titled(comparison, measure)} by layer and head of both runs, on one scale"
    figure = by_head(figure, both[0].shape, f"both-{measure}", label)
    return figure.update_layout(
        height=figure.layout.height + TITLES, margin={"t": figure.layout.margin.t + TITLES}
    )


def difference_grid(comparison: Comparison, measure: str) -> go.Figure:
    """Draw the second run less the first for every head."""
    chosen = MEASURES[measure]
    values = comparison.difference(measure)
    definition = f"second run less the first; {chosen.definition}"
    title = f"change in {_titled(comparison, measure)}"
    figure = go.Figure(difference_cells(values, title, definition))
    label = f"{title.capitalize()} by layer and head, second run less the first"
    return by_head(figure, values.shape, f"difference-{measure}", label)


def _titled(comparison: Comparison, measure: str) -> str:
    """Return what a measure is called; both runs' sink scores are of as many tokens."""
    over = f", first {comparison.length} tokens" if measure == "sink" else ""
    return MEASURES[measure].title + over


def _points(
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    here: NDArray[np.bool_],
    name: str,
    symbol: str,
    colour: str,
    size: int,
) -> go.Scatter:
    places = np.argwhere(here)
    return go.Scatter(
        x=x[here].astype(np.float32),
        y=y[here].astype(np.float32),
        mode="markers",
        name=f"{name} ({len(places)})",
        marker={"symbol": symbol, "color": colour, "size": size},
        customdata=places.tolist(),
        hovertemplate="layer %{customdata[0]}, head %{customdata[1]}<br>sink score %{x:.3f}, then "
        f"%{{y:.3f}}<br>{name}{defined(MEASURES['sink'].definition)}<extra></extra>",
    )
