"""Layer x head grid: one number per head, every head on one screen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from tokenarium.backend import TraceResult
from tokenarium.ui.figures.style import SCALE, colour_bar, finish


@dataclass(frozen=True)
class HeadMetric:
    """One number per head: its title, where it comes from, and its natural upper end."""

    title: str
    field: str
    top: float | None = None


METRICS = {
    "sink": HeadMetric("sink score", "sink_score", 1.0),
    "previous": HeadMetric("previous-token attention", "previous_mass", 1.0),
    "self": HeadMetric("attention to itself", "self_mass", 1.0),
    "entropy": HeadMetric("attention entropy (nats)", "attention_entropy_nats"),
    "distance": HeadMetric("attention distance (tokens)", "attention_distance"),
}


def head_values(result: TraceResult, metric: str) -> NDArray[np.float32]:
    """Return [L, H]: the metric of every head, per-query quantities as means over queries."""
    values: NDArray[np.float32] = getattr(result, METRICS[metric].field)
    return values if values.ndim == 2 else values.mean(-1)


def head_grid(result: TraceResult, metric: str) -> go.Figure:
    """Draw the metric of every head; a click chooses layer and head."""
    values, chosen = head_values(result, metric), METRICS[metric]
    figure = go.Figure(
        go.Heatmap(
            z=values,
            colorscale=SCALE,
            zmin=0,
            zmax=chosen.top,
            xgap=2,
            ygap=2,
            colorbar=colour_bar(chosen.title),
            hovertemplate=f"layer %{{y}}, head %{{x}}<br>{chosen.title} %{{z:.3f}}<extra></extra>",
        )
    )
    if result.heads <= 16 and result.layers <= 32:
        figure.update_traces(texttemplate="%{z:.2f}", textfont={"size": 10})
    figure.update_xaxes(title="head", dtick=max(1, result.heads // 16), showgrid=False)
    figure.update_yaxes(
        title="layer", autorange="reversed", dtick=max(1, result.layers // 16), showgrid=False
    )
    return finish(
        figure,
        340,
        f"heads-{metric}",
        f"Heat map of {chosen.title} by layer and head",
        x="head",
        y="layer",
    )
