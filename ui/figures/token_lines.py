"""Lines along the tokens of a text of any length, every point of which is a real token."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from tokenarium.ui.figures.definitions import defined
from tokenarium.ui.figures.style import finish
from tokenarium.ui.text import plotly_text

MOST_POINTS = 1024


def drawn_positions(values: NDArray[np.floating]) -> NDArray[np.int32]:
    """Return the positions a line goes through, ascending.

    All of them up to 1,024 tokens; of a longer text the lowest and the highest of each of 512
    equal runs, so that no peak is lost and no point is made up.

    Args:
        values: [T].
    """
    length = len(values)
    if length <= MOST_POINTS:
        return np.arange(length, dtype=np.int32)
    edges = [run * length // (MOST_POINTS // 2) for run in range(MOST_POINTS // 2 + 1)]
    lowest, highest = np.nan_to_num(values, nan=np.inf), np.nan_to_num(values, nan=-np.inf)
    ends = [a + int(part[a:b].argmin()) for part in (lowest, -highest) for a, b in pairwise(edges)]
    return np.unique(np.array(ends, np.int32))


def pooling_note(length: int) -> str:
    """Return what a line of a long text leaves out, as the end of a sentence; empty if nothing."""
    if length <= MOST_POINTS:
        return ""
    return f", lowest and highest of every {-(-length // (MOST_POINTS // 2))} tokens"


def token_line(
    values: NDArray[np.floating],
    texts: Sequence[str],
    name: str,
    colour: str,
    *,
    unit: str = "",
    dash: str | None = None,
    definition: str = "",
) -> go.Scatter:
    """Return one line.

    Args:
        values: [T].
        texts: T token texts, shown on hover.
        definition: shown under the value on hover.
    """
    at = drawn_positions(values)
    narrow = at.astype(np.uint16 if len(values) <= 1 << 16 else np.int32)  # sent with the page
    return go.Scatter(
        x=narrow,
        y=values[at].astype(np.float32),
        name=name,
        mode="lines+markers" if len(values) <= 400 else "lines",
        line={"color": colour, "width": 1.5, "dash": dash},
        marker={"size": 4},
        customdata=[plotly_text(texts[position]) for position in at.tolist()],
        hovertemplate=f"%{{x}} “%{{customdata}}”<br>{plotly_text(name)} %{{y:.4g}} {unit}"
        f"{defined(definition) if definition else ''}<extra></extra>",
    )


def along_tokens(figure: go.Figure, length: int, height: int, name: str, label: str) -> go.Figure:
    """Set the layout of lines whose clicks choose a token; the label says what is pooled."""
    note = pooling_note(length)
    figure.update_xaxes(title="token position" + note, range=[-0.5, length - 0.5])
    figure.update_yaxes(automargin=True)
    figure.update_layout(hovermode="closest")
    return finish(figure, height, name, label + note, x="token")
