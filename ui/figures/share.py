"""How all attention is divided among the tokens of a text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from tokenarium.ui.characters import named
from tokenarium.ui.figures.style import AMBER, GREY, finish
from tokenarium.ui.text import one_line, plotly_text

NAMED = 5
"""Tokens with a bar of their own."""
LONGEST = 14


def attention_bars(share: NDArray[np.floating[Any]], texts: Sequence[str]) -> go.Figure | None:
    """Draw the share of all attention of the tokens that get most, and of all others together.

    Args:
        share: [T] in percent.
        texts: T token texts.
    Returns: None as long as no layer is measured.
    """
    if not np.isfinite(share).any():
        return None
    known = np.nan_to_num(share.astype(np.float64))
    order = np.argsort(-known, kind="stable")
    most, others = order[:NAMED], order[NAMED:]
    spelled = named(texts)
    names = [_name(spelled[token], token) for token in most.tolist()]
    heights, tokens = known[most].tolist(), [[token] for token in most.tolist()]
    if len(others):
        names.append("the other one" if len(others) == 1 else f"{len(others)} others")
        heights.append(float(known[others].sum()))
        tokens.append([None])
    figure = go.Figure(
        go.Bar(
            x=np.float32(heights),
            y=list(range(len(names))),
            orientation="h",
            customdata=tokens,
            text=[f"{height:.0f}%" if height >= 1 else f"{height:.1g}%" for height in heights],
            textposition="outside",
            cliponaxis=False,
            marker={"color": [AMBER] * len(most) + [GREY] * (len(names) - len(most))},
            hovertemplate="%{y}: %{x:.2f}% of all attention<extra></extra>",
        )
    )
    figure.update_xaxes(visible=False, range=[0, 1.18 * max(*heights, 1e-9)])
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=names,
        autorange="reversed",
        automargin=True,
        showgrid=False,
        zeroline=False,
    )
    label = f"Share of all attention: {names[0]} gets {heights[0]:.0f}%"
    columns = {"x": "share of all attention (%)", "y": "bar"}
    figure = finish(figure, 176, "attention-share", label, point=["token"], columns=columns)
    return figure.update_layout(margin={"l": 8, "r": 8, "t": 4, "b": 4}, bargap=0.25)


def _name(text: str, token: int) -> str:
    """Return what stands beside a bar: the token's text and, as texts repeat, its place."""
    word = one_line(text).strip()
    short = word if len(word) <= LONGEST else f"{word[: LONGEST - 1]}…"
    return f"“{plotly_text(short)}” {'first' if token == 0 else token}"
