"""Attribution methods beside each other: the same units, how far they agree, who beats chance."""

from collections.abc import Mapping

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import AttributeResult, rank_correlation
from tokenarium.ui.figures.attribution import unit_label
from tokenarium.ui.figures.patching import SCALE
from tokenarium.ui.figures.style import AMBER, BLUE, GREEN, GREY, RED, colour_bar, finish

Compared = Mapping[str, AttributeResult]
"""By title of the method; all of the same text, target and units."""
COLOURS = (AMBER, BLUE, GREEN, RED, "#8b5cf6", "#0891b2")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MOST_NAMED = 24
"""Units that are written on the axis."""
LONGEST = 12
PALE = "#e2e8f0"


def maps_beside(compared: Compared) -> go.Figure:
    """Draw methods by units, each method's scores over its largest one."""
    results = list(compared.values())
    scores = np.stack([result.scores for result in results])
    most = np.abs(scores).max(1, keepdims=True)
    shares = scores / np.where(most > 0, most, 1)
    units = range(scores.shape[1])
    named = [unit_label(results[0], unit, 60) for unit in units]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=list(units),
            y=[*map(_two_lines, compared)],
            colorscale=SCALE,
            zmin=-1,
            zmax=1,
            ygap=3,
            colorbar=colour_bar("score / largest"),
            customdata=[named] * len(results),
            hovertemplate="%{y}: “%{customdata}” %{z:.2f} of its largest<extra></extra>",
        )
    )
    if len(units) <= MOST_NAMED:
        short = [unit_label(results[0], unit, LONGEST) for unit in units]
        figure.update_xaxes(tickvals=list(units), ticktext=short, tickangle=-90)
    else:
        figure.update_xaxes(title={"text": "unit", "standoff": 4})
    figure.update_xaxes(automargin=True, showgrid=False)
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    label = "The same units by each method, every score over its method's largest"
    return finish(figure, 150 + 34 * len(results), "methods-maps", label)


def agreement(compared: Compared) -> go.Figure | None:
    """Draw Spearman's rank correlation of every two methods; None for one method."""
    if len(compared) < 2:
        return None
    found = rank_correlation(np.stack([result.scores for result in compared.values()]))
    titles = [*map(_two_lines, compared)]
    figure = go.Figure(
        go.Heatmap(
            z=found,
            x=titles,
            y=titles,
            colorscale=[[0, BLUE], [0.5, PALE], [1, AMBER]],  # numbers are read on it
            zmin=-1,
            zmax=1,
            xgap=2,
            ygap=2,
            texttemplate="%{z:.2f}",
            colorbar=colour_bar("rank correlation"),
            hovertemplate="%{y} and %{x}: %{z:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(automargin=True, tickangle=-40)
    figure.update_yaxes(autorange="reversed", automargin=True)
    label = "Rank correlation of the units' scores by every two methods"
    return finish(figure, 170 + 40 * len(titles), "methods-agreement", label)


def drop_curves(compared: Compared) -> go.Figure:
    """Draw how far the target falls as each map's highest units go, beside as many at random."""
    figure = go.Figure()
    for number, (title, result) in enumerate(compared.items()):
        known = result.curve_k is not None and result.curve_nats is not None
        figure.add_scatter(
            x=result.curve_k if known else [result.check_k],
            y=result.curve_nats if known else [result.check_drop_nats],
            name=title,
            mode="lines+markers",
            line={"color": COLOURS[number % 6], "dash": DASHES[number % 6], "width": 1.8},
            hovertemplate=f"{title}, %{{x}} deleted: %{{y:.3f}} nats<extra></extra>",
        )
    first = next(iter(compared.values())).faithfulness
    half = first.high - first.mean
    figure.add_scatter(
        x=[first.k],
        y=[first.mean],
        name="as many at random, 95 %",
        mode="markers",
        marker={"color": GREY, "symbol": "diamond", "size": 10},
        error_y={"type": "data", "array": [half], "color": GREY} if np.isfinite(half) else None,
        hovertemplate="%{x} at random: %{y:.3f} nats<extra></extra>",
    )
    figure.update_xaxes(title={"text": "highest units deleted", "standoff": 4}, rangemode="tozero")
    figure.update_yaxes(title="fall (nats)")
    label = "Fall of the log probability as the highest units are deleted, by method"
    return finish(figure, 300, "methods-curves", label)


def _two_lines(title: str) -> str:
    """Return a title of several words with a break near its middle."""
    words = title.split()
    half = (len(words) + 1) // 2
    return "<br>".join(filter(None, (" ".join(words[:half]), " ".join(words[half:]))))
