"""Figures of a decoding run: how unsure the model was at every step, and in which way."""

from collections.abc import Sequence

import numpy as np
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from tokenarium.backend import DecodedLane, DecodeResult
from tokenarium.ui.figures.style import AMBER, BLUE, GREEN, GREY, RED, finish
from tokenarium.ui.text import plotly_text

COLOURS = (GREY, BLUE, AMBER, GREEN, RED)


SCATTER, RELIABILITY = 320, 300
"""Heights of the parts, in pixels."""


def scatter(result: DecodeResult) -> go.Figure | None:
    """Draw every step by entropy and varentropy, thresholds of strategies as lines.

    Where trials are enough, how often each confidence is right stands beneath.
    """
    judged = [lane for lane in result.lanes if lane.reliability is not None]
    figure = make_subplots(
        rows=2, cols=1, row_heights=[SCATTER, RELIABILITY], vertical_spacing=0.14
    ) if judged else go.Figure()  # fmt: skip
    for lane in result.lanes:
        if not len(lane.token_ids):
            continue
        colour = COLOURS[lane.number % len(COLOURS)]
        steps = range(len(lane.token_ids))
        figure.add_trace(
            go.Scatter(
                x=lane.entropy_nats.tolist(),
                y=lane.varentropy_nats2.tolist(),
                name=_name(lane),
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
                type="line", x0=nats, x1=nats, y0=0, y1=1, xref="x", yref="y domain",
                line={"color": colour, "dash": "dot"}, name=name,
            )  # fmt: skip
        _draw_regions(figure, result, lane.number, colour)
    if not figure.data:
        return None
    label = "Entropy and varentropy of the model's distribution before every new token"
    if judged:
        _draw_reliability(figure, judged)
        label += "; beneath, how often a text is right by the model's confidence in it"
    first = {"row": 1, "col": 1} if judged else {}
    figure.update_xaxes(title="entropy, nats", rangemode="tozero", **first)
    figure.update_yaxes(title="varentropy, nats²", rangemode="tozero", **first)
    return finish(
        figure, SCATTER + (RELIABILITY if judged else 0), "entropy-varentropy", label,
        point=["node", "step"], columns={"custom": ["lane", "step"]},
    )  # fmt: skip


def _name(lane: DecodedLane) -> str:
    return plotly_text(f"{lane.title}{' (plain)' if lane.number == 0 else ''}")


def _draw_reliability(figure: go.Figure, lanes: Sequence[DecodedLane]) -> None:
    """Draw bins of trials by confidence, with 95 % intervals; on the diagonal, calibrated ones."""
    below = {"row": 2, "col": 1}
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="right as often as sure",
        line={"color": GREY, "dash": "dot"}, hoverinfo="skip", **below,
    )  # fmt: skip
    for lane in lanes:
        assert lane.reliability is not None
        bins = lane.reliability.bins
        figure.add_scatter(
            x=[one.confidence for one in bins],
            y=[one.right for one in bins],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [one.high - one.right for one in bins],
                "arrayminus": [one.right - one.low for one in bins],
                "thickness": 1,
            },
            mode="lines+markers",
            name=f"{_name(lane)}, {lane.reliability.trials} trials",
            line={"color": COLOURS[lane.number % len(COLOURS)]},
            text=[f"{one.trials} trials" for one in bins],
            hovertemplate="%{text}: sure %{x:.2f}, right %{y:.2f}<extra></extra>",
            **below,
        )
    figure.update_xaxes(title="confidence of a text, mean of a bin", range=[0, 1], **below)
    figure.update_yaxes(title="share right", range=[-0.02, 1.02], **below)


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
                type="rect", xref="x", yref="y", x0=x0, x1=x1, y0=y0, y1=y1, layer="below",
                name=region.name,
                fillcolor=colour, opacity=0.14, line={"width": 0},
                label={"text": region.name, "textposition": "top right", "font": {"size": 11}},
            )  # fmt: skip
