"""Lines over the tokens: predictability, received attention, norms."""

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from backend import TraceResult
from ui.figures.style import AMBER, BLUE, GREEN, GREY, finish
from ui.text import plotly_text


def predictability(result: TraceResult) -> go.Figure:
    """Draw surprisal of each token, and entropy of the distribution it was drawn from.

    Entropy is moved by one position, so that both numbers at position t speak of predicting
    token t.
    """
    before = np.concatenate([[np.nan], result.entropy_nats[:-1]]).astype(np.float32)
    figure = go.Figure(
        [
            _line(result, result.surprisal_nats, "surprisal", "nats", AMBER),
            _line(result, before, "entropy before it", "nats", BLUE, dash="dot"),
        ]
    )
    figure.update_yaxes(title="nats", rangemode="tozero")
    return _token_axis(figure, 230, "predictability", "Surprisal and entropy of every token")


def received(result: TraceResult, layer: int, head: int) -> go.Figure:
    """Draw the attention every token receives: in the chosen head, in its layer, in all heads."""
    mass = result.received_mass
    figure = go.Figure(
        [
            _line(result, mass.mean((0, 1)), "all heads", "", GREY),
            _line(result, mass[layer].mean(0), f"layer {layer}", "", BLUE, dash="dot"),
            _line(result, mass[layer, head], f"layer {layer}, head {head}", "", AMBER),
        ]
    )
    figure.update_yaxes(title="mean attention", type="log")
    return _token_axis(figure, 230, "received", "Attention received by every token, log scale")


def norms(result: TraceResult, layer: int, head: int) -> go.Figure:
    """Draw the norms at the chosen layer: residual stream, key and value of the head's group."""
    group = head * result.key_norm.shape[1] // result.heads
    rows = (
        (result.residual_norm[layer + 1], f"residual after layer {layer}", AMBER),
        (result.key_norm[layer, group], f"key, layer {layer}, KV head {group}", BLUE),
        (result.value_norm[layer, group], f"value, layer {layer}, KV head {group}", GREEN),
    )
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for row, (values, name, colour) in enumerate(rows, start=1):
        figure.add_trace(_line(result, values, name, "", colour), row=row, col=1)
    figure.update_yaxes(rangemode="tozero", nticks=4)
    return _token_axis(figure, 340, "norms", "Norms of residual stream, key and value", "xaxis3")


def _line(
    result: TraceResult,
    values: NDArray[np.float32],
    name: str,
    unit: str,
    colour: str,
    dash: str | None = None,
) -> go.Scatter:
    short = result.length <= 400
    return go.Scatter(
        x=np.arange(result.length),
        y=values,
        name=name,
        mode="lines+markers" if short else "lines",
        line={"color": colour, "width": 1.5, "dash": dash},
        marker={"size": 4},
        customdata=[plotly_text(text) for text in result.token_text],
        hovertemplate=f"%{{x}} “%{{customdata}}”<br>{name} %{{y:.4g}} {unit}<extra></extra>",
    )


def _token_axis(
    figure: go.Figure, height: int, name: str, label: str, axis: str = "xaxis"
) -> go.Figure:
    figure.update_layout({axis: {"title": {"text": "token position"}}})
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(automargin=True)
    return finish(figure, height, name, label, x="token", mainx=axis)
