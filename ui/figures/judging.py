"""A measure of a judged text along its tokens, and all scores beside what chance gives."""

from collections.abc import Mapping, Sequence

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import JudgeResult, Measure
from tokenarium.ui.figures.style import AMBER, BLUE, GREY, finish
from tokenarium.ui.figures.token_lines import along_tokens, token_line
from tokenarium.ui.text import plotly_text


def judged_line(result: JudgeResult, slug: str, texts: Sequence[str]) -> go.Figure:
    """Draw what a measure says of every token, and the tokens that decide.

    Args:
        result: a judged text.
        slug: one of ``result.measures``.
        texts: T token texts.
    """
    measure, number = Measure.registry.find(slug), result.measures.index(slug)
    values = result.token_score[number]
    figure = go.Figure(
        token_line(
            values,
            texts,
            measure.each_title,
            BLUE,
            unit=measure.each_unit,
            definition=measure.each_formula,
        )
    )
    at = np.flatnonzero(result.marked[number] & np.isfinite(values))
    if len(at):
        figure.add_scatter(
            x=at,
            y=values[at],
            mode="markers",
            name="deciding",
            marker={"color": AMBER, "size": 7, "symbol": "diamond"},
            customdata=[plotly_text(texts[t]) for t in at.tolist()],
            hovertemplate="%{x} “%{customdata}” %{y:.4g}<extra>decides</extra>",
        )
    unit = f" ({measure.each_unit})" if measure.each_unit else ""
    figure.update_yaxes(title=measure.each_title + unit)
    label = f"{measure.title}: {measure.each_title} of every token"
    return along_tokens(figure, len(values), 260, "judged", label)


def reliability(result: JudgeResult) -> go.Figure | None:
    """Draw how often the likeliest token was right, by how sure the model was; bins with intervals.

    Returns: None where calibration was not measured.
    """
    found: Mapping[str, float] = result.details.get("calibration", {})
    bins = sorted({name.split("_")[1] for name in found if name.startswith("bin_")})
    if not bins:
        return None
    of = {
        part: np.array([found[f"bin_{number}_{part}"] for number in bins])
        for part in ("confidence", "right", "low", "high")
    }
    figure = go.Figure(
        go.Scatter(
            x=[0, 1], y=[0, 1], mode="lines", name="right as often as sure",
            line={"color": GREY, "dash": "dot"}, hoverinfo="skip",
        )
    )  # fmt: skip
    figure.add_scatter(
        x=of["confidence"],
        y=of["right"],
        mode="lines+markers",
        name="this text",
        line={"color": BLUE},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": of["high"] - of["right"],
            "arrayminus": of["right"] - of["low"],
        },
        hovertemplate="sure %{x:.2f}, right %{y:.2f}<extra></extra>",
    )
    figure.update_xaxes(title="mean probability of the likeliest token", range=[0, 1])
    figure.update_yaxes(title="share right", range=[0, 1])
    label = "How often the likeliest token was right, by its probability, with 95 % intervals"
    return finish(figure, 300, "reliability", label)
