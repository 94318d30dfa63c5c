"""Figures of a decoding run: how unsure the model was at every step, and in which way."""

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
    if not figure.data:
        return None
    figure.update_xaxes(title="entropy, nats", rangemode="tozero")
    figure.update_yaxes(title="varentropy, nats²", rangemode="tozero")
    label = "Entropy and varentropy of the model's distribution before every new token"
    return finish(
        figure, 320, "entropy-varentropy", label, point=["node", "step"],
        columns={"custom": ["lane", "step"]},
    )  # fmt: skip
