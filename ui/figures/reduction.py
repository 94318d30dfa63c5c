"""A model that computes less: its loss by what it still computes, and where it was cut."""

from textwrap import wrap

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import ReduceResult
from tokenarium.ui.figures.style import AMBER, BLUE, GREEN, GREY, RED, colour_bar, finish

COLOURS = (AMBER, BLUE, GREY, RED, "#8b5cf6", "#0891b2")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
WIDE = 3.0
"""Ratio of the largest loss to the least from which the axis is logarithmic."""
LINE = 10
"""Characters of a line under a column."""
ROW = 14
"""Pixels of a layer."""


def loss_by_cost(result: ReduceResult) -> go.Figure:
    """Draw the loss of every reduced model against the share that it computes, by curve."""
    figure = go.Figure()
    for number, name in enumerate(result.series):
        points = result.of_series(name)
        if not len(points):  # nothing was enumerated
            continue
        exact = name == result.exact
        colour = GREEN if exact else COLOURS[number % len(COLOURS)]
        figure.add_scatter(
            x=result.cost[points],
            y=result.loss_nats[points],
            name=name,
            mode="lines+markers" if len(points) > 1 else "markers",
            line={
                "color": colour,
                "width": 2.4 if exact else 1.4,
                "dash": "dot" if exact else None,
            },
            marker={
                "size": [13 if point == result.chosen else 7 for point in points],
                "symbol": SYMBOLS[number % len(SYMBOLS)],
                "color": colour,
            },
            customdata=[result.point_label[point] for point in points],
            hovertemplate=f"{name}: %{{customdata}}<br>%{{x:.1%}} of {result.cost_title}, "
            "%{y:.3f} nats a token<extra></extra>",
        )
    figure.add_scatter(
        x=[0, 1],
        y=[result.dense_nats] * 2,
        name="nothing cut",
        mode="lines",
        line={"color": GREY, "width": 1, "dash": "dash"},
        hovertemplate="nothing cut: %{y:.3f} nats a token<extra></extra>",
    )
    figure.update_xaxes(
        title={"text": f"share of {result.cost_title}", "standoff": 4}, tickformat=".0%"
    )
    losses = [*result.loss_nats, result.dense_nats]
    wide = max(losses) > WIDE * min(losses)
    title = "loss (nats a token)"
    figure.update_yaxes(title={"text": title}, type="log" if wide else "linear", automargin=True)
    label = f"Loss on held-out text by the share of {result.cost_title}"
    return finish(figure, 360, "reduction", label)


def cut_where(result: ReduceResult) -> go.Figure:
    """Draw what the judged model and those beside it compute of every layer."""
    numbers = [result.chosen, *(int(each) for each in result.beside)]
    parts = [result.computed[number].astype(np.float64) for number in numbers]
    names = [result.series[result.point_series[number]] for number in numbers]
    layers = result.computed.shape[1]
    shares = np.concatenate(parts, axis=1)
    columns = [f"{part}, {name}" for name in names for part in ("attention", "MLP")]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=list(range(len(columns))),
            y=list(range(layers)),
            colorscale=[[0, "rgba(148, 163, 184, 0.12)"], [1, BLUE]],
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=1,
            colorbar=colour_bar("computed"),
            customdata=[columns] * layers,
            hovertemplate="layer %{y}, %{customdata}: %{z:.1%} computed<extra></extra>",
        )
    )
    figure.update_xaxes(
        tickvals=[2 * number + 0.5 for number in range(len(names))],
        ticktext=[f"att. | MLP<br>{'<br>'.join(wrap(name, LINE))}" for name in names],
        tickangle=0,
        automargin=True,
        showgrid=False,
        tickfont={"size": 10},
    )
    figure.update_yaxes(title={"text": "layer"}, autorange="reversed", showgrid=False)
    label = "Share of attention and MLP of every layer that is computed"
    return finish(figure, max(220, 130 + ROW * layers), "reduction-where", label)
