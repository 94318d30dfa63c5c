"""An edited prompt under four caches: what its spliced cache costs, by step and by layer."""

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import EditResult
from tokenarium.ui.figures.style import AMBER, BLUE, GREY, RED, finish
from tokenarium.ui.text import plotly_text

HEIGHT = 240
COLOURS = {"recomputed": GREY, "pie": BLUE, "unturned": AMBER, "unedited": RED}
DASHES = {"recomputed": "dot", "pie": "solid", "unturned": "dash", "unedited": "dashdot"}


def cost_of_edit(result: EditResult) -> go.Figure:
    """Draw how far every cache moves the prediction from reading the edited prompt anew."""
    figure = go.Figure()
    said = [plotly_text(text) for text in result.token_text]
    for slug, title, values in zip(result.caches, result.titles, result.kl_nats, strict=True):
        figure.add_trace(
            go.Scatter(
                x=np.arange(len(values)),
                y=values,
                name=title,
                mode="lines+markers",
                line={"color": COLOURS[slug], "dash": DASHES[slug], "width": 1.8},
                customdata=said,
                hovertemplate=f"{title}<br>before %{{customdata}}: %{{y:.4g}} nats<extra></extra>",
            )
        )
    figure.update_xaxes(title="token after the prompt")
    figure.update_yaxes(title="KL (nats)", rangemode="tozero")
    label = "Divergence from reading the edited prompt anew, at every token after it"
    return finish(figure, HEIGHT, "edit-kl", label, columns={"custom": ["token"]})


def errors_of_edit(result: EditResult) -> go.Figure | None:
    """Draw how far the keys and values that were kept are from those read anew, by layer."""
    figure = go.Figure()
    for slug, part, values in (
        ("pie", "keys, turned", result.key_error[1]),
        ("unturned", "keys, not turned", result.key_error[2]),
        ("unedited", "values", result.value_error[1]),
    ):
        if not np.isfinite(values).any():
            return None
        figure.add_trace(
            go.Scatter(
                x=np.arange(len(values)),
                y=values,
                name=part,
                mode="lines",
                line={"color": COLOURS[slug], "dash": DASHES[slug], "width": 1.8},
                hovertemplate=f"{part}, layer %{{x}}: %{{y:.3g}}<extra></extra>",
            )
        )
    figure.update_xaxes(title="layer")
    figure.update_yaxes(title="relative error", rangemode="tozero")
    label = "Error of kept keys and values after the edit, by layer; 0 would be reading anew"
    return finish(figure, HEIGHT, "edit-errors", label)
