"""Layer x head grid: one number per head, every head on one screen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from tokenarium.backend import TraceResult
from tokenarium.ui.figures.grids import by_head, grid_cells


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
    "learned_sink": HeadMetric("attention to the learned sink", "learned_sink_mass", 1.0),
    "entropy": HeadMetric("attention entropy (nats)", "attention_entropy_nats"),
    "distance": HeadMetric("attention distance (tokens)", "attention_distance"),
}


def metrics_of(result: TraceResult) -> dict[str, HeadMetric]:
    """Return the metrics that a run has: a learned sink is measured where the model has one."""
    return {
        name: metric
        for name, metric in METRICS.items()
        if metric.field != "learned_sink_mass" or result.learned_sink_measured
    }


def head_values(result: TraceResult, metric: str) -> NDArray[np.float32]:
    """Return [L, H]: the metric of every head, per-query quantities as means over queries."""
    values: NDArray[np.float32] = getattr(result, METRICS[metric].field)
    return values if values.ndim == 2 else values.mean(-1)


def head_grid(result: TraceResult, metric: str) -> go.Figure:
    """Draw the metric of every head; a click chooses layer and head."""
    values, chosen = head_values(result, metric), METRICS[metric]
    figure = go.Figure(grid_cells(values, chosen.title, high=chosen.top))
    label = f"Heat map of {chosen.title} by layer and head"
    return by_head(figure, values.shape, f"heads-{metric}", label)
