"""The attention map of one head, pooled, or a rectangle of it in finer tiles."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from tokenarium.backend import RegionResult, TraceResult
from tokenarium.ui.characters import named
from tokenarium.ui.figures.style import SCALE, colour_bar, finish
from tokenarium.ui.text import plotly_text


def tile_edges(length: int, tiles: int) -> NDArray[np.int32]:
    """Return g+1 edges: tile a covers [edge a, edge a+1), so position i is in floor(i g / T)."""
    g = min(length, tiles)
    return np.asarray([-(-a * length // g) for a in range(g + 1)], np.int32)


def attention_map(result: TraceResult, layer: int, head: int, pooling: str = "mean") -> go.Figure:
    """Draw the whole map of a head; a click chooses query and key, a zoom asks for finer tiles."""
    tiles = result.attention_tiles_max if pooling == "max" else result.attention_tiles_mean
    edges = tile_edges(result.length, tiles.shape[-1])
    return _map(tiles[layer, head], edges, edges, result, f"layer {layer}, head {head}", pooling)


def region_map(
    region: RegionResult, result: TraceResult, layer: int, head: int, pooling: str = "mean"
) -> go.Figure:
    """Draw a rectangle of the map of a head."""
    values = region.highest if pooling == "max" else region.mean
    name = f"layer {layer}, head {head}"
    return _map(values, region.query_edges, region.key_edges, result, name, pooling)


def top(values: NDArray[np.float32]) -> float:
    """Return where the colours of a map end: 99.5 % of its cells are not above."""
    seen = values[np.isfinite(values)]
    return float(np.percentile(seen, 99.5)) if len(seen) and seen.max() > 0 else 1.0


def _map(
    values: NDArray[np.float32],
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    result: TraceResult,
    name: str,
    pooling: str,
) -> go.Figure:
    side = int(max(np.diff(rows).max(), np.diff(columns).max()))
    scale = "each cell one pair" if side == 1 else f"{pooling} of up to {side} x {side} pairs"
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=columns - 0.5,
            y=rows - 0.5,
            colorscale=SCALE,
            zmin=0,
            zmax=top(values),
            colorbar=colour_bar(f"attention ({scale})"),
            hovertemplate="%{customdata}<br>attention %{z:.4f}<extra></extra>",
            hoverongaps=False,
        )
    )
    figure.update_xaxes(
        title="key: attended-to token", range=[columns[0] - 0.5, columns[-1] - 0.5], showgrid=False
    )
    figure.update_yaxes(
        title="query: looking token",
        range=[rows[-1] - 0.5, rows[0] - 0.5],
        showgrid=False,
        automargin=True,
    )
    return finish(
        figure,
        340,
        "attention-" + name.replace(", ", "-").replace(" ", ""),
        f"Attention map of {name}, {scale}",
        x="token",
        y="query",
        zoom="region",
        names={"rows": _names(rows, result), "columns": _names(columns, result)},
    )


def _names(edges: NDArray[np.int32], result: TraceResult) -> list[str]:
    """Return what each tile of an axis covers; the page names a cell by its row and column."""
    texts = named(result.token_text)
    return [
        f"{a} “{plotly_text(texts[a])}”" if b - a == 1 else f"{a} to {b - 1}"
        for a, b in pairwise(edges.tolist())
    ]
