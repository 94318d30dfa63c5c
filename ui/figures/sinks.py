"""Sinks: which heads have one, how many by layer, and what the norms do at these tokens."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from tokenarium.backend import Sink, TraceResult, over_median, sink_rate, sink_scores
from tokenarium.ui.characters import named
from tokenarium.ui.figures.definitions import defined
from tokenarium.ui.figures.grids import by_head, cell_marks, counted, grid_cells
from tokenarium.ui.figures.style import AMBER, SCALE, colour_bar, finish
from tokenarium.ui.text import plotly_text

MOST_CELLS = 40_000
MOST_COLUMNS = 512
MOST_MARKS = 256
USUAL_NORMS, OUTSIDE, NORM_ROW = 460, 76, 5
"""Pixels: least height of the three maps of norms, what is not cells, and a row of theirs."""
LEAST_RATIO = 1e-6


def window(result: TraceResult, length: int | None) -> str:
    """Return which queries a sink score is the mean of, as the end of its name.

    Args:
        length: queries; None, or as many as the text has, is the usual score and adds nothing.
    """
    return "" if length is None or length >= result.length else f", first {length} tokens"


def sink_grid(result: TraceResult, threshold: float, length: int | None = None) -> go.Figure:
    """Draw the sink score of every head; an outline marks each cell above the threshold."""
    scores = sink_scores(result, length)
    queries = result.length if length is None else min(length, result.length)
    definition = f"mean attention of the first {queries} tokens to the first"
    cells = grid_cells(scores, f"sink score{window(result, length)}", definition, high=1)
    above = scores > threshold
    marks = cell_marks(above, f"above {threshold:g}")
    measured = int(np.isfinite(scores).sum())
    rate = sink_rate(scores, threshold)
    share = f" ({rate:.0%})" if np.isfinite(rate) else ""
    label = (
        f"Sink score by layer and head: {int(above.sum())} of {measured} heads{share} above "
        f"{threshold:g} over the first {queries} tokens"
    )
    return by_head(go.Figure([cells, marks]), scores.shape, "sink-grid", label)


def sink_layers(result: TraceResult, threshold: float, length: int | None = None) -> go.Figure:
    """Draw the sink rate of every layer; a click chooses the layer."""
    scores = sink_scores(result, length)
    rates = np.array([sink_rate(row, threshold) for row in scores])
    counts = (scores > threshold).sum(1).tolist()
    definition = f"share of its heads with a sink score above {threshold:g}"
    figure = go.Figure(
        go.Bar(
            x=np.arange(len(rates)),
            y=rates,
            customdata=[f"{count} of {result.heads}" for count in counts],
            marker={"color": AMBER},
            hovertemplate=f"layer %{{x}}: %{{customdata}} heads{defined(definition)}"
            "<extra></extra>",
        )
    )
    figure.update_xaxes(**counted("layer", len(rates)))
    name = f"sink rate{window(result, length)}"
    figure.update_yaxes(title=name, range=[0, 1], tickformat=".0%")
    label = f"{name.capitalize()}, by layer: {definition}"
    return finish(figure, 230, "sink-layers", label, x="layer")


def sink_norms(result: TraceResult, sinks: Sequence[Sink]) -> go.Figure:
    """Draw residual, key and value norm of every token at every layer, over the layer's median.

    The three maps share the token axis, and triangles above them mark the sinks. Of a long text
    each cell shows, of several tokens, the one furthest from the median. Norms of keys and values
    are means over the KV heads of a layer, each over its own median.
    """
    maps = {
        "residual": over_median(result.residual_norm),
        "key": over_median(result.key_norm).mean(1),
        "value": over_median(result.value_norm).mean(1),
    }
    columns = min(MOST_COLUMNS, MOST_CELLS // sum(map(len, maps.values())))
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.05)
    for row, (name, ratios) in enumerate(maps.items(), start=1):
        figure.add_trace(_norm_map(name, ratios, columns), row=row, col=1)
    figure.add_trace(_marks(sinks, result), row=1, col=1)
    note = "" if result.length <= columns else f", the extreme of {-(-result.length // columns)}"
    if len(sinks) > MOST_MARKS:
        note += f"; the strongest {MOST_MARKS} of {len(sinks)} sinks marked"
    figure.update_layout(coloraxis=_ratio_colours(maps))
    figure.update_xaxes(showgrid=False, range=[-0.5, result.length - 0.5])
    for row, (name, ratios) in enumerate(maps.items(), start=1):
        axis = counted(f"{name}<br>layer", len(ratios), downwards=True)
        figure.update_yaxes(**axis, automargin=True, row=row, col=1)
    figure.update_layout(xaxis3={"title": {"text": "token position" + note}})
    label = "Norms of residual stream, key and value by layer and token, over the median" + note
    height = max(USUAL_NORMS, OUTSIDE + NORM_ROW * sum(map(len, maps.values())))
    named = {"y": "layer", "z": "log10 of times the median"}
    return finish(figure, height, "sink-norms", label, x="token", y="layer", columns=named)


def _norm_map(name: str, ratios: NDArray[np.floating], columns: int) -> go.Heatmap:
    edges, cells = extremes(np.log10(np.maximum(ratios, LEAST_RATIO)), columns)
    return go.Heatmap(
        z=cells.astype(np.float32),
        x=edges - 0.5,
        coloraxis="coloraxis",
        name=name,
        hovertemplate=f"layer %{{y}}, near token %{{x:.0f}}<br>{name} norm 10^%{{z:.2f}} times the "
        "layer's median<extra></extra>",
    )


def extremes(
    values: NDArray[np.floating], columns: int
) -> tuple[NDArray[np.int32], NDArray[np.floating]]:
    """Return n+1 edges, and [R, n]: of each run of tokens the value furthest from zero.

    Args:
        values: [R, T].
        columns: most runs; a shorter text keeps its tokens.
    """
    length = values.shape[-1]
    runs = min(columns, length)
    edges = np.array([run * length // runs for run in range(runs + 1)], np.int32)
    low = np.fmin.reduceat(values, edges[:-1], axis=-1)
    high = np.fmax.reduceat(values, edges[:-1], axis=-1)
    return edges, np.where(-low > high, low, high)


def _ratio_colours(maps: dict[str, NDArray[np.floating]]) -> dict[str, object]:
    """Return colours for all but the most extreme hundredth, which keep those of the ends."""
    found = np.concatenate([ratios[np.isfinite(ratios) & (ratios > 0)] for ratios in maps.values()])
    low, high = np.percentile(found, (0.5, 99.5)) if found.size else (1.0, 1.0)
    ends = min(float(np.log10(low)), -0.1), max(float(np.log10(high)), 0.1)
    steps = np.linspace(*ends, 5)
    return {
        "colorscale": SCALE,
        "cmin": ends[0],
        "cmax": ends[1],
        "colorbar": {
            **colour_bar("times the median"),
            "tickvals": steps.tolist(),
            "ticktext": [f"{10**step:.2g}" for step in steps],
        },
    }


def _marks(sinks: Sequence[Sink], result: TraceResult) -> go.Scatter:
    sinks = sorted(sinks, key=lambda sink: -sink.score)[:MOST_MARKS]
    texts = named(result.token_text)
    names = [f"{sink.position} “{plotly_text(texts[sink.position])}”" for sink in sinks]
    return go.Scatter(
        x=[sink.position for sink in sinks],
        y=[-0.5] * len(sinks),
        mode="markers",
        name="sink",
        cliponaxis=False,
        marker={"symbol": "triangle-down", "size": 9, "color": AMBER},
        customdata=[
            f"sink {name}<br>layer {sink.layer}, head {sink.head}: {sink.score:.3f}"
            for name, sink in zip(names, sinks, strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
