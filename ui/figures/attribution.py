"""Figures of an attribution: scores by unit, and the check against chance."""

from collections import Counter

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import AttributeResult, Faithfulness
from tokenarium.ui.figures.style import AMBER, BLUE, GREY, finish
from tokenarium.ui.text import plotly_text

MOST_BARS = 20
LONGEST = 28
"""Characters of a unit on an axis."""
ROW = 19
"""Pixels of a bar."""


def largest(result: AttributeResult) -> list[int]:
    """Return the units with the largest scores, up or down, the largest first."""
    order = np.argsort(-np.abs(result.scores), kind="stable")
    return [int(unit) for unit in order[:MOST_BARS]]


def unit_label(result: AttributeResult, unit: int, longest: int = LONGEST) -> str:
    """Return a unit's text, cut, as Plotly shows it."""
    text = " ".join(result.unit_text[unit].split()) or result.unit_text[unit]
    return plotly_text(text if len(text) <= longest else f"{text[: longest - 1]}…")


def score_bars(result: AttributeResult) -> go.Figure:
    """Draw the units with the largest scores, with intervals where they were sampled."""
    units = largest(result)
    scores, low, high = result.scores[units], result.low[units], result.high[units]
    sampled = bool(np.isfinite(low).any())
    figure = go.Figure(
        go.Bar(
            x=scores,
            y=list(range(len(units))),
            orientation="h",
            marker={"color": [AMBER if score >= 0 else BLUE for score in scores]},
            error_x={
                "type": "data", "symmetric": False, "array": high - scores,
                "arrayminus": scores - low, "color": GREY, "thickness": 1.5, "width": 3,
            } if sampled else None,
            customdata=[
                f"“{unit_label(result, unit, 80)}”, token {result.units[unit, 0]}"
                + (f"<br>95 % interval {a:.3g} to {b:.3g}" if sampled else "")
                for unit, a, b in zip(units, low, high, strict=True)
            ],
            hovertemplate="%{customdata}<br>score %{x:.4g}<extra></extra>",
        )
    )  # fmt: skip
    unit = f" ({result.score_unit})" if result.score_unit else ""
    figure.update_xaxes(title={"text": f"score{unit}", "standoff": 4}, zeroline=True)
    figure.update_yaxes(
        tickvals=list(range(len(units))),
        ticktext=_apart(result, units),
        autorange="reversed",
        automargin=True,
        showgrid=False,
    )
    label = "Score of each unit: above zero it made the token likelier"
    return finish(figure, max(220, 70 + ROW * len(units)), "attribution", label)


def _apart(result: AttributeResult, units: list[int]) -> list[str]:
    """Return the units' labels; those that are written alike with their position."""
    every = [unit_label(result, unit) for unit in range(len(result.unit_text))]
    times = Counter(every)
    return [
        f"{every[unit]} ({result.units[unit, 0]})" if times[every[unit]] > 1 else every[unit]
        for unit in units
    ]


def check_strip(result: AttributeResult) -> go.Figure:
    """Draw how far the log probability falls without the map's units, and without random ones."""
    return chance_strip(result.faithfulness, "unit", "attribution-check")


def chance_strip(found: Faithfulness, what: str, name: str) -> go.Figure:
    """Draw a check: the fall without the highest, as many at random, and their mean.

    Args:
        found: the check.
        what: the word for one of what is left out.
        name: file name of an exported picture.
    """
    figure = go.Figure()
    spread = (np.arange(len(found.random)) % 5 - 2) * 0.12
    figure.add_scatter(
        x=found.random,
        y=spread,
        mode="markers",
        name=f"{found.k} at random",
        marker={"color": GREY, "size": 9, "opacity": 0.8},
        hovertemplate="without " + f"{found.k} random {what}s: %{{x:.3f}} nats<extra></extra>",
    )
    if np.isfinite(found.low):
        figure.add_scatter(
            x=[found.mean],
            y=[0.6],
            mode="markers",
            name="their mean, 95 % interval",
            marker={"color": GREY, "symbol": "line-ns-open", "size": 14},
            error_x={"type": "data", "array": [found.high - found.mean], "color": GREY},
            hovertemplate="mean of random sets: %{x:.3f} nats<extra></extra>",
        )
    figure.add_scatter(
        x=[found.drop],
        y=[0],
        mode="markers",
        name=f"the {found.k} highest",
        marker={"color": AMBER, "size": 14, "symbol": "diamond"},
        hovertemplate=f"without the highest {what}s: %{{x:.3f}} nats<extra></extra>",
    )
    figure.update_xaxes(
        title={"text": "fall of the log probability (nats)", "standoff": 4}, zeroline=True
    )
    figure.update_yaxes(visible=False, range=[-1, 1])
    label = f"Check of {what}s against chance: the map {found.verdict}"
    return finish(figure, 220, name, label)
