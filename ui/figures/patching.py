"""Two prompts patched into each other: what each cell of layer and word recovers."""

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import PatchResult
from tokenarium.ui.figures.style import AMBER, BLUE, colour_bar, finish
from tokenarium.ui.text import plotly_text

ROW = 14
"""Pixels of a layer."""
LONGEST = 14
"""Characters of a word on the axis."""
TITLES = {
    "residual": "Residual stream",
    "attention": "Attention's output",
    "mlp": "MLP's output",
}
SCALE = [[0, BLUE], [0.5, "rgba(148, 163, 184, 0.12)"], [1, AMBER]]


def changed_words(result: PatchResult) -> list[str]:
    """Return by unit its text, and beside it the other text's where that differs."""
    pairs = zip(result.unit_text, result.counterpart, strict=True)
    return [
        _cut(own) if own == other or not other else f"{_cut(own)} | {_cut(other)}"
        for own, other in pairs
    ]


def patched_cells(result: PatchResult, site: str) -> go.Figure:
    """Draw layers by words, the share of the difference that each cell alone recovers."""
    shares = result.recovered[result.sites.index(site)]
    most = max(1.0, float(np.nanmax(np.abs(shares), initial=0)))
    layers, words = shares.shape
    named = changed_words(result)
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=list(range(words)),
            y=list(range(layers)),
            colorscale=SCALE,
            zmin=-most,
            zmax=most,
            xgap=1,
            ygap=1,
            colorbar=colour_bar("share recovered"),
            customdata=[named] * layers,
            hovertemplate="%{customdata}, layer %{y}: %{z:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(
        tickvals=list(range(words)), ticktext=named, tickangle=-60, automargin=True, showgrid=False
    )
    figure.update_yaxes(title={"text": "layer"}, autorange="reversed", showgrid=False)
    label = f"{TITLES[site]}: share of the two prompts' difference that each cell recovers"
    return finish(figure, 150 + ROW * layers, f"patch-{site}", label)


def _cut(text: str) -> str:
    said = " ".join(text.split()) or text
    return plotly_text(said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…")
