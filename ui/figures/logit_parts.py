"""What each head and MLP wrote towards a token's logit."""

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import AttributeResult
from tokenarium.ui.figures.style import AMBER, BLUE, colour_bar, finish

ROW = 15
"""Pixels of a layer."""


def logit_parts(result: AttributeResult) -> go.Figure | None:
    """Draw layers by heads, the MLP last; None where the method splits no logit."""
    parts = result.part_nats
    if parts is None or not parts.size:
        return None
    layers, columns = parts.shape
    most = float(np.nanmax(np.abs(parts))) or 1.0
    figure = go.Figure(
        go.Heatmap(
            z=parts,
            x=[*map(str, range(columns - 1)), "MLP"],
            y=list(range(layers)),
            colorscale=[[0, BLUE], [0.5, "rgba(148, 163, 184, 0.12)"], [1, AMBER]],
            zmin=-most,
            zmax=most,
            xgap=1,
            ygap=1,
            colorbar=colour_bar("nats"),
            hovertemplate="layer %{y}, head %{x}: %{z:.3f} nats<extra></extra>",
        )
    )
    figure.update_xaxes(title={"text": "head", "standoff": 4}, type="category")
    figure.update_yaxes(title={"text": "layer"}, autorange="reversed")
    label = "What each head and MLP wrote towards the logit"
    return finish(figure, max(240, 90 + ROW * layers), "logit-parts", label)
