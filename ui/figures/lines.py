"""Lines over the tokens: predictability, received attention, norms."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from tokenarium.backend import TraceResult, received_noise_by_layer
from tokenarium.ui.characters import named
from tokenarium.ui.figures.style import AMBER, BLUE, GREEN, GREY, RED, finish
from tokenarium.ui.figures.token_lines import along_tokens, pooling_note, token_line

RUNNING = 128
"""Tokens whose mean surprisal is drawn, once a text has twice as many."""


def predictability(result: TraceResult) -> go.Figure:
    """Draw surprisal of each token, and entropy of the distribution it was drawn from.

    Entropy is moved by one position, so that both numbers at position t speak of predicting
    token t.
    """
    before = np.concatenate([[np.nan], result.entropy_nats[:-1]]).astype(np.float32)
    figure = go.Figure(
        [
            _line(result, result.surprisal_nats, "surprisal", AMBER, unit="nats"),
            _line(result, before, "entropy before it", BLUE, unit="nats", dash="dot"),
        ]
    )
    if result.length >= 2 * RUNNING:
        mean = running_mean(result.surprisal_nats, RUNNING)
        name = f"mean surprisal of {RUNNING} tokens"
        figure.add_trace(_line(result, mean, name, RED, unit="nats"))
    figure.update_yaxes(title="nats", rangemode="tozero")
    label = "Surprisal and entropy of every token"
    return mark_context(along_tokens(figure, result.length, 230, "predictability", label), result)


def running_mean(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return [T]: the mean of the known values among the last ``count``; NaN before there are."""
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0), dtype=np.float64)])
    counts = np.concatenate([[0], np.cumsum(known)])
    mean = np.full(len(values), np.nan, np.float32)
    inside = np.maximum(counts[count:] - counts[:-count], 1)
    mean[count - 1 :] = (sums[count:] - sums[:-count]) / inside
    return mean


def received(result: TraceResult, layer: int, head: int) -> go.Figure:
    """Draw the attention every token receives: in the chosen head, in its layer, in all heads.

    The noise baseline of the layer is what every token would receive if all queries looked evenly.
    """
    mass = result.received_mass
    noise = received_noise_by_layer(result)[layer].astype(np.float32)
    figure = go.Figure(
        [
            _line(result, result.received_by_token(), "all heads", GREY),
            _line(result, _of_layer(result, layer), f"layer {layer}", BLUE, dash="dot"),
            _line(result, mass[layer, head], f"layer {layer}, head {head}", AMBER),
            _line(result, noise, "if all looked evenly", RED, dash="dash"),
        ]
    )
    figure.data[-1].update(mode="lines")
    figure.update_yaxes(title="mean attention", type="log")
    label = "Attention received by every token, log scale"
    return mark_context(along_tokens(figure, result.length, 230, "received", label), result)


def _of_layer(result: TraceResult, layer: int) -> NDArray[np.float32]:
    """Return [T] the mean received attention over the heads that a layer has; NaN for none."""
    own = result.received_mass[layer]
    known = np.isfinite(result.sink_score[layer])
    return np.asarray((own[known] if known.any() else own).mean(0))


def norms(result: TraceResult, layer: int, head: int) -> go.Figure:
    """Draw the norms at the chosen layer: residual stream, key and value of the head's group."""
    group = result.kv_head(layer, head)
    rows = (
        (result.residual_norm[layer + 1], f"residual after layer {layer}", AMBER),
        (result.key_norm[layer, group], f"key, layer {layer}, KV head {group}", BLUE),
        (result.value_norm[layer, group], f"value, layer {layer}, KV head {group}", GREEN),
    )
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for row, (values, name, colour) in enumerate(rows, start=1):
        figure.add_trace(_line(result, values, name, colour), row=row, col=1)
    figure.update_yaxes(rangemode="tozero", nticks=4, automargin=True)
    note = pooling_note(result.length)
    figure.update_xaxes(range=[-0.5, result.length - 0.5])
    figure.update_layout(xaxis3={"title": "token position" + note}, hovermode="closest")
    label = "Norms of residual stream, key and value" + note
    columns = {"y": "norm"}
    figure = finish(figure, 340, "norms", label, x="token", mainx="xaxis3", columns=columns)
    return mark_context(figure, result)


def mark_context(figure: go.Figure, result: TraceResult) -> go.Figure:
    """Add a line where the trained context ends, if the text goes on after it."""
    if not 0 < result.context < result.length:
        return figure
    figure.add_vline(x=result.context - 0.5, line={"color": RED, "width": 1.5, "dash": "dash"})
    figure.add_annotation(
        x=result.context - 0.5,
        y=1,
        yref="paper",
        text="never trained →",
        xanchor="left",
        yanchor="top",
        showarrow=False,
        font={"size": 11},
    )
    meta = figure.layout.meta
    label = f"{meta['label']}; the model was trained up to token {result.context - 1} only"
    return figure.update_layout(meta={**meta, "label": label})


def _line(
    result: TraceResult,
    values: NDArray[np.floating[Any]],
    name: str,
    colour: str,
    unit: str = "",
    dash: str | None = None,
) -> go.Scatter:
    return token_line(values, named(result.token_text), name, colour, unit=unit, dash=dash)
