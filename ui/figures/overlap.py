"""Overlap of the heaviest tokens, between the heads of a layer or between layers."""

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from tokenarium.backend import TraceResult, accumulated_mass, chance_overlap, known_mean, overlap
from tokenarium.ui.figures.definitions import defined
from tokenarium.ui.figures.grids import counted, grid_height
from tokenarium.ui.figures.style import SCALE, colour_bar, finish


def overlap_of_heads(result: TraceResult, layer: int, count: int, factor: float = 1.0) -> go.Figure:
    """Draw how far the heads of a layer agree on the heaviest tokens; a click chooses a head."""
    values = overlap(accumulated_mass(result, factor)[layer], count)
    figure = _overlap(values, "head", count, result.length)
    label = f"Overlap of the {count} heaviest tokens between heads of layer {layer}"
    return finish(figure, grid_height(len(values)), "overlap-heads", label, x="head")


def overlap_of_layers(result: TraceResult, count: int, factor: float = 1.0) -> go.Figure:
    """Draw how far the layers agree on the heaviest tokens; a click chooses a layer."""
    values = overlap(known_mean(accumulated_mass(result, factor), 1), count)
    figure = _overlap(values, "layer", count, result.length)
    label = f"Overlap of the {count} heaviest tokens between layers, mass averaged over heads"
    return finish(figure, grid_height(len(values)), "overlap-layers", label, x="layer")


def _overlap(values: NDArray[np.float64], what: str, count: int, length: int) -> go.Figure:
    chance = chance_overlap(length, count)
    definition = "tokens in both sets over tokens in either (Jaccard)"
    figure = go.Figure(
        go.Heatmap(
            z=values.astype(np.float32),
            colorscale=SCALE,
            zmin=0,
            zmax=1,
            colorbar=colour_bar(f"overlap (chance {chance:.3f})"),
            hovertemplate=f"{what} %{{x}} and {what} %{{y}}<br>overlap %{{z:.3f}}, random sets "
            f"{chance:.3f}{defined(definition)}<extra></extra>",
        )
    )
    figure.update_xaxes(**counted(what, len(values)))
    figure.update_yaxes(**counted(what, len(values), downwards=True))
    return figure
