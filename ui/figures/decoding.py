"""Figures of a decoding run: how unsure the model was at every step, and in which way."""

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import DecodeResult
from tokenarium.ui.figures.style import AMBER, BLUE, GREEN, GREY, RED, finish
from tokenarium.ui.text import plotly_text

COLOURS = (GREY, BLUE, AMBER, GREEN, RED)


def scatter(result: DecodeResult) -> go.Figure | None:
    """Draw every step by entropy and varentropy, thresholds of strategies as lines."""
    figure = go.Figure()
    for lane in result.lanes:
        if not len(lane.token_ids):
            continue
        colour = COLOURS[lane.number % len(COLOURS)]
        steps = range(len(lane.token_ids))
        figure.add_trace(
            go.Scatter(
                x=lane.entropy_nats.tolist(),
                y=lane.varentropy_nats2.tolist(),
                name=f"{lane.title}{' (plain)' if lane.number == 0 else ''}",
                mode="markers",
                marker={"color": colour, "size": 8, "opacity": 0.75},
                text=[plotly_text(text) for text in lane.token_text],
                customdata=[[lane.number, step] for step in steps],
                hovertemplate="“%{text}”, step %{customdata[1]}: %{x:.2f} nats, %{y:.2f} nats²"
                "<extra></extra>",
            )
        )
        for name, nats in lane.thresholds.items():
            figure.add_shape(
                type="line", x0=nats, x1=nats, y0=0, y1=1, yref="paper",
                line={"color": colour, "dash": "dot"}, name=name,
            )  # fmt: skip
        _draw_regions(figure, result, lane.number, colour)
    if not figure.data:
        return None
    figure.update_xaxes(title="entropy, nats", rangemode="tozero")
    figure.update_yaxes(title="varentropy, nats²", rangemode="tozero")
    label = "Entropy and varentropy of the model's distribution before every new token"
    return finish(
        figure, 320, "entropy-varentropy", label, point=["node", "step"],
        columns={"custom": ["lane", "step"]},
    )  # fmt: skip


def _draw_regions(figure: go.Figure, result: DecodeResult, lane: int, colour: str) -> None:
    """Draw where a strategy acts in a way of its own, as it declares it, up to the farthest dot."""
    if not (regions := result.regions(lane)):
        return
    tokens = result.token_columns
    most = [1.04 * float(np.nanmax(tokens[name])) for name in ("entropy_nats", "varentropy_nats2")]
    for region in regions:
        low, high = zip(region.entropy_nats, region.varentropy_nats2, strict=True)
        x0, y0 = np.clip(low, 0, most).tolist()
        x1, y1 = np.clip(high, 0, most).tolist()
        if x0 < x1 and y0 < y1:
            figure.add_shape(
                type="rect", x0=x0, x1=x1, y0=y0, y1=y1, layer="below", name=region.name,
                fillcolor=colour, opacity=0.14, line={"width": 0},
                label={"text": region.name, "textposition": "top right", "font": {"size": 11}},
            )  # fmt: skip
