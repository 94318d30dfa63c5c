"""The figure of an imported run: acceptance by place in the draft."""

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import ImportResult
from tokenarium.ui.figures.style import GREEN, finish


def by_place(result: ImportResult) -> go.Figure | None:
    """Draw how often the first, second, ... drafted token was accepted; None without any."""
    if not np.isfinite(result.position_share).any():
        return None
    counted = [
        f"{accepted} of {drafted}" if drafted >= 0 else "as reported or over all rounds"
        for accepted, drafted in zip(
            result.position_accepted.tolist(), result.position_drafted.tolist(), strict=True
        )
    ]
    figure = go.Figure(
        go.Bar(
            x=np.arange(1, len(result.position_share) + 1),
            y=result.position_share,
            customdata=counted,
            marker={"color": GREEN},
            hovertemplate="token %{x} of a draft: %{y:.1%} (%{customdata})<extra></extra>",
        )
    )
    figure.update_xaxes(title="place in the draft", dtick=1 + len(counted) // 16)
    figure.update_yaxes(title="accepted", range=[0, 1], tickformat=".0%")
    label = "How often the first, second, and later tokens of a draft were accepted"
    return finish(figure, 230, "imported-acceptance", label, columns={"custom": ["counted"]})
