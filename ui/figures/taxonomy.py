"""Every head as a point between two measures, marked by its kind."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from tokenarium.backend import LABEL_RULES, MEASURES, HeadMeasure
from tokenarium.ui.figures.definitions import defined
from tokenarium.ui.figures.style import AMBER, BLUE, GREEN, GREY, finish

# Shape and colour both show the kind, so that either is enough.
MARKS = {
    "not measured": ("circle-open", GREY),
    "active-dormant": ("star", "#dc2626"),
    "dormant": ("square", AMBER),
    "retrieval": ("diamond", BLUE),
    "previous token": ("triangle-left", GREEN),
    "self": ("cross", "#8b5cf6"),
    "local": ("triangle-up", "#0891b2"),
    "broad": ("hexagon", "#a16207"),
    "mixed": ("circle", GREY),
}
PLAIN_MARK = ("circle", GREY)
OVER_QUERIES = ("sink", "other_sink")
"""Measures that are means over the first queries."""


def head_scatter(
    measures: Mapping[str, NDArray[np.floating]],
    labels: NDArray[np.str_],
    across: str,
    up: str,
    layer: int,
    head: int,
    window: str = "",
) -> go.Figure:
    """Draw every head; a click on a point chooses its layer and head, a ring marks the chosen one.

    Args:
        measures: [L, H] each, from ``head_measures``.
        labels: [L, H], from ``head_labels``.
        across, up: names of the measures on the two axes.
        layer, head: the chosen head.
        window: which queries sink scores are the mean of, as the end of their name.
    """
    x, y = measures[across], measures[up]
    x_title, y_title = (
        MEASURES[name].title + (window if name in OVER_QUERIES else "") for name in (across, up)
    )
    figure = go.Figure()
    for rule in LABEL_RULES:
        here = np.argwhere(labels == rule.label)
        if not len(here):
            continue
        symbol, colour = MARKS.get(rule.label, PLAIN_MARK)
        figure.add_trace(
            go.Scatter(
                x=x[here[:, 0], here[:, 1]].astype(np.float32),
                y=y[here[:, 0], here[:, 1]].astype(np.float32),
                mode="markers",
                name=f"{rule.label} ({len(here)})",
                marker={"symbol": symbol, "color": colour, "size": 9, "opacity": 0.85},
                customdata=here.tolist(),
                hovertemplate="layer %{customdata[0]}, head %{customdata[1]}"
                f"<br>{x_title} %{{x:.3f}}<br>{y_title} %{{y:.3f}}"
                f"<br>{rule.label}{defined(rule.definition)}<extra></extra>",
            )
        )
    figure.add_trace(
        go.Scatter(
            x=[x[layer, head]],
            y=[y[layer, head]],
            mode="markers",
            name=f"chosen: layer {layer}, head {head}",
            marker={"symbol": "circle-open", "size": 18, "color": AMBER, "line": {"width": 2}},
            hoverinfo="skip",
        )
    )
    figure.update_xaxes(title=x_title, range=readable_range(MEASURES[across], x))
    figure.update_yaxes(title=y_title, range=readable_range(MEASURES[up], y))
    label = f"Every head by {x_title} and {y_title}"
    return finish(figure, 420, "heads", label, point=["layer", "head"])


def readable_range(measure: HeadMeasure, values: NDArray[np.floating]) -> list[float]:
    """Return the ends of an axis: from the lowest a measure can be, as far as the values go."""
    known = values[np.isfinite(values)]
    low, high = max(measure.low, float(known.min(initial=0))), float(known.max(initial=0.1))
    margin = 0.05 * (high - low)
    return [low - margin, high + margin]
