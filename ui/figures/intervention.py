"""What an intervention changed: predictions token by token, and sinks head by head."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from tokenarium.ui.figures.grids import by_head, difference_cells
from tokenarium.ui.figures.style import AMBER, BLUE, GREY
from tokenarium.ui.figures.token_lines import along_tokens, token_line

Floats = NDArray[np.floating]


def surprisal_change(
    plain: Floats, changed: Floats, aligned: NDArray[np.integer], texts: Sequence[str]
) -> go.Figure:
    """Draw the surprisal of every token of the text as it is, after the change, and between.

    Args:
        plain: [T], nats, of the text as it is.
        changed: [T'], nats, of the changed run.
        aligned: [T'], position in the text of each token of the changed run; -1 for none.
        texts: T token texts.
    """
    label = "Surprisal of every token, as it is and after the change"
    return _before_and_after(plain, changed, aligned, texts, "surprisal", label)


def entropy_change(
    plain: Floats, changed: Floats, aligned: NDArray[np.integer], texts: Sequence[str]
) -> go.Figure:
    """Draw the entropy of the prediction after every token as it is, after the change, and between.

    Args:
        plain: [T], nats, of the text as it is.
        changed: [T'], nats, of the changed run.
        aligned: [T'], position in the text of each token of the changed run; -1 for none.
        texts: T token texts.
    """
    label = "Entropy after every token, as it is and after the change"
    return _before_and_after(plain, changed, aligned, texts, "entropy", label)


def _before_and_after(
    plain: Floats,
    changed: Floats,
    aligned: NDArray[np.integer],
    texts: Sequence[str],
    name: str,
    label: str,
) -> go.Figure:
    after = in_text(changed, aligned, len(plain))
    figure = go.Figure(
        [
            token_line(plain, texts, f"{name} as it is", BLUE, unit="nats"),
            token_line(after, texts, f"{name} after the change", AMBER, unit="nats"),
            token_line(after - plain, texts, "difference", GREY, unit="nats", dash="dot"),
        ]
    )
    figure.update_yaxes(title="nats")
    return along_tokens(figure, len(plain), 260, f"intervention-{name}", label)


def divergence(kl_nats: Floats, aligned: NDArray[np.integer], texts: Sequence[str]) -> go.Figure:
    """Draw how far the change moves the prediction after every token.

    Args:
        kl_nats: [T'], NaN where the token stands for none of the text.
        aligned: [T'], position in the text of each token of the changed run; -1 for none.
        texts: T token texts.
    """
    values = in_text(kl_nats, aligned, len(texts))
    definition = "KL(as it is || changed) of the distributions after this token"
    line = token_line(values, texts, "divergence", AMBER, unit="nats", definition=definition)
    figure = go.Figure(line)
    figure.update_yaxes(title="divergence (nats)", rangemode="tozero")
    label = "Divergence of the changed prediction from the plain one, after every token"
    return along_tokens(figure, len(texts), 230, "intervention-divergence", label)


def sink_change(plain: Floats, changed: Floats) -> go.Figure:
    """Draw the change in the sink score of every head.

    Args:
        plain, changed: [L, H].
    """
    definition = "sink score after the change less the score as it is: mean attention to the first"
    figure = go.Figure(difference_cells(changed - plain, "change in sink score", definition))
    label = "Change in sink score by layer and head"
    return by_head(figure, plain.shape, "intervention-sinks", label)


def in_text(values: Floats, aligned: NDArray[np.integer], length: int) -> NDArray[np.float32]:
    """Return [T]: values of the changed run at the tokens of the text; NaN where there is none."""
    placed = np.full(length, np.nan, np.float32)
    known = aligned >= 0
    placed[aligned[known]] = values[known]
    return placed
