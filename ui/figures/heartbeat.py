"""When a head comes back to a token: a raster of its activations, and the longest gaps."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from tokenarium.ui.figures.definitions import defined
from tokenarium.ui.figures.style import AMBER, SCALE, colour_bar, finish
from tokenarium.ui.figures.token_lines import along_tokens, token_line

NO_PAIR = -1


def heartbeat_raster(
    raster: NDArray[np.floating],
    query_edges: NDArray[np.integer],
    key_edges: NDArray[np.integer],
    layer: int,
    head: int,
    threshold: str,
) -> go.Figure:
    """Draw which share of the pairs of each cell is active; a click chooses query and key.

    Shares are sent as whole per cent, rounded up so that a single activation is seen: 512 x 512
    cells as single bytes are what a page can load in a moment.

    Args:
        raster: [r, c] in [0, 1], NaN where a cell has no causal pair.
        query_edges, key_edges: [r + 1] and [c + 1], tokens.
        threshold: what counts as active, in words.
    """
    seen = np.isfinite(raster)
    percent = np.where(seen, np.ceil(np.where(seen, raster, 0) * 100), NO_PAIR).astype(np.int8)
    side = int(max(np.diff(query_edges).max(), np.diff(key_edges).max()))
    scale = "each cell one pair" if side == 1 else f"each cell up to {side} x {side} pairs"
    definition = f"a pair is active where {threshold}; -1 %: the key comes after the query"
    bare = "rgba(0,0,0,0)"
    figure = go.Figure(
        go.Heatmap(
            z=percent,
            x=np.asarray(key_edges) - 0.5,
            y=np.asarray(query_edges) - 0.5,
            zmin=NO_PAIR,
            zmax=100,
            colorscale=_after(bare, SCALE),
            colorbar={**colour_bar("active pairs (%)"), "tickvals": [0, 25, 50, 75, 100]},
            hovertemplate="query near %{y:.0f}, key near %{x:.0f}<br>%{z} % of its pairs active"
            f"{defined(definition)}<extra></extra>",
        )
    )
    figure.update_xaxes(title="key: attended-to token", showgrid=False)
    figure.update_yaxes(title="query: looking token", autorange="reversed", showgrid=False)
    label = f"Who comes back to whom in layer {layer}, head {head}: share of active pairs, {scale}"
    return finish(figure, 420, "heartbeat", label, x="token", y="query")


def heartbeat_gaps(
    longest_gap: NDArray[np.floating], texts: Sequence[str], threshold: str
) -> go.Figure:
    """Draw the longest gap between an activation of every token and the one before it.

    Args:
        longest_gap: [T], tokens; 0 where a token was never activated again.
        texts: T token texts.
        threshold: what counts as active, in words.
    """
    gaps = np.where(longest_gap > 0, longest_gap, np.nan).astype(np.float32)
    definition = (
        "largest distance between two activations in a row, its own position counting as the "
        f"first; active where {threshold}"
    )
    line = token_line(gaps, texts, "longest gap", AMBER, unit="tokens", definition=definition)
    figure = go.Figure(line)
    figure.update_yaxes(title="longest gap (tokens)", rangemode="tozero")
    label = "Longest gap between two activations of every token"
    return along_tokens(figure, len(gaps), 230, "heartbeat-gaps", label)


def _after(first: str, scale: str) -> list[list[object]]:
    """Return a colour scale whose lowest value, one step below zero, has a colour of its own."""
    step = 1 / (100 - NO_PAIR)
    colours = go.layout.Coloraxis(colorscale=scale).colorscale
    rest = [[step + (1 - step) * place, colour] for place, colour in colours]
    return [[0, first], [step, first], *rest]
