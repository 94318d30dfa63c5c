"""What a token loses without each head, attention, MLP and layer."""

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import AblateResult
from tokenarium.ui.figures.attribution import chance_strip
from tokenarium.ui.figures.patching import SCALE
from tokenarium.ui.figures.style import AMBER, BLUE, GREEN, colour_bar, finish

ROW = 15
"""Pixels of a layer."""


def head_falls(result: AblateResult) -> go.Figure:
    """Draw layers by heads."""
    falls = result.head_nats.mean(0)
    layers, heads = falls.shape
    most = float(np.nanmax(np.abs(falls))) or 1.0
    figure = go.Figure(
        go.Heatmap(
            z=falls,
            x=[*map(str, range(heads))],
            y=list(range(layers)),
            colorscale=SCALE,
            zmin=-most,
            zmax=most,
            xgap=1,
            ygap=1,
            colorbar=colour_bar("nats"),
            hovertemplate="without layer %{y}, head %{x}: %{z:.3f} nats<extra></extra>",
        )
    )
    figure.update_xaxes(title={"text": "head", "standoff": 4}, type="category")
    figure.update_yaxes(title={"text": "layer"}, autorange="reversed")
    label = "How far the target's log probability falls without each head"
    return finish(figure, max(240, 90 + ROW * layers), "ablation-heads", label)


def part_falls(result: AblateResult) -> go.Figure:
    """Draw attention, MLP and both by layer, with the range of the draws."""
    figure = go.Figure()
    lines = (
        ("attention", result.attention_nats, BLUE),
        ("MLP", result.mlp_nats, AMBER),
        ("both (the layer)", result.layer_nats, GREEN),
    )
    for name, falls, colour in lines:
        mean = falls.mean(0)
        spread = {
            "type": "data", "symmetric": False, "array": falls.max(0) - mean,
            "arrayminus": mean - falls.min(0), "thickness": 1, "width": 2,
        }  # fmt: skip
        figure.add_scatter(
            x=mean,
            y=list(range(len(mean))),
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 1.6},
            error_x=spread if len(falls) > 1 else None,
            hovertemplate=f"without {name} of layer %{{y}}: %{{x:.3f}} nats<extra></extra>",
        )
    figure.update_xaxes(
        title={"text": "fall of the log probability (nats)", "standoff": 4}, zeroline=True
    )
    figure.update_yaxes(title={"text": "layer"}, autorange="reversed")
    label = "How far the target's log probability falls without attention, MLP or both, by layer"
    layers = result.mlp_nats.shape[1]
    return finish(figure, max(240, 90 + ROW * layers), "ablation-parts", label)


def head_check(result: AblateResult) -> go.Figure:
    """Draw the fall without the highest heads beside that without as many at random."""
    return chance_strip(result.faithfulness, "head", "ablation-check")
