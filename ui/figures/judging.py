"""A measure of a judged text along its tokens, and all scores beside what chance gives."""

from collections.abc import Sequence

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import JudgeResult, Measure
from tokenarium.ui.figures.style import AMBER, BLUE
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
