"""The logit lens: what each layer would say next, around the chosen token."""

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from tokenarium.backend import TraceResult
from tokenarium.ui.characters import named
from tokenarium.ui.figures.style import SCALE, colour_bar, finish
from tokenarium.ui.text import plotly_text

WIDTH = 14
"""Tokens shown at once, so that every cell's text can be read."""
ROW = 20
"""Pixels of a layer's row."""
LONGEST = 16
"""Characters of a token that a cell may show; the page cuts them to the room there is."""


def lens_window(result: TraceResult, token: int) -> tuple[int, int]:
    """Return [start, stop) of the tokens shown: ``token`` stays near the middle."""
    start = max(0, min(token - WIDTH // 2, result.length - WIDTH))
    return start, min(result.length, start + WIDTH)


def logit_lens(result: TraceResult, token: int) -> go.Figure | None:
    """Draw each layer's most likely next token, coloured by its distance to the final answer."""
    if result.lens_kl_nats is None or result.lens_text is None or result.lens_entropy_nats is None:
        return None
    start, stop = lens_window(result, token)
    divergence = result.lens_kl_nats[:, start:stop]
    texts = [[plotly_text(t) for t in row[start:stop]] for row in result.lens_text]
    cells = [[plotly_text(t[:LONGEST]) for t in row[start:stop]] for row in result.lens_text]
    doubt = result.lens_entropy_nats[:, start:stop]
    heads = [plotly_text(t[:10]) for t in named(result.token_text)[start:stop]]
    figure = go.Figure(
        go.Heatmap(
            z=divergence,
            x=list(range(start, stop)),
            text=cells,
            texttemplate="%{text}",
            textfont={"size": 11},
            customdata=[
                [f"“{t}”<br>entropy {e:.2f} nats" for t, e in zip(row, line, strict=True)]
                for row, line in zip(texts, doubt.tolist(), strict=True)
            ],
            colorscale=SCALE,
            reversescale=True,
            zmin=0,
            zmax=_top(result.lens_kl_nats),
            xgap=1,
            ygap=1,
            colorbar=colour_bar("KL to the final answer (nats)"),
            hovertemplate="after token %{x}, entering layer %{y}<br>would say %{customdata}"
            "<br>KL %{z:.3f} nats<extra></extra>",
        )
    )
    figure.update_xaxes(
        title={"text": "after token", "standoff": 4},
        tickvals=list(range(start, stop)),
        ticktext=heads,
        tickangle=-40,
        automargin=True,
        showgrid=False,
    )
    last = result.layers
    figure.update_yaxes(
        title="residual stream entering layer",
        tickvals=list(range(last + 1)),
        ticktext=[*map(str, range(last)), "output"],
        showgrid=False,
        automargin=True,
    )
    return finish(
        figure,
        max(300, 80 + ROW * (last + 1)),
        "lens",
        "Logit lens: most likely next token at every layer",
        x="token",
        cells=stop - start,
    )


def _top(divergence: NDArray[np.float32]) -> float:
    """Return the end of the colour scale, from the layers inside the model.

    What enters layer 0 is the bare embedding, whose divergence would wash out all others; cells
    above the end keep its colour, and their number is shown on hover.
    """
    inside = divergence[1:-1]
    seen = inside[np.isfinite(inside)]
    return max(float(np.percentile(seen, 98)), 1e-3) if len(seen) else 1.0
