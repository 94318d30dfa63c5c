"""How much attention each class of tokens holds."""

from collections.abc import Sequence
from math import isfinite

from plotly import graph_objects as go

from backend import ClassMass
from ui.figures.definitions import defined
from ui.figures.style import AMBER, GREY, finish


def class_bars(classes: Sequence[ClassMass]) -> go.Figure:
    """Draw how many times its chance share each class of tokens holds, with 95 % intervals."""
    definition = "attention mass of the class over what uniform attention gives its positions"
    figure = go.Figure(
        go.Bar(
            x=[f"{c.name}<br>{c.count} tokens" for c in classes],
            y=[c.times_noise for c in classes],
            error_y={
                "type": "data",
                "array": [c.high - c.times_noise for c in classes],
                "arrayminus": [c.times_noise - c.low for c in classes],
                "symmetric": False,
            },
            marker={"color": AMBER},
            customdata=[
                f"{c.count} tokens ({c.token_share:.1%}) hold {c.mass_share:.1%} of the mass"
                + (f"<br>95 % interval {c.low:.2f} to {c.high:.2f}" if isfinite(c.low) else "")
                for c in classes
            ],
            hovertemplate=f"%{{y:.2f}} times chance<br>%{{customdata}}{defined(definition)}"
            "<extra></extra>",
        )
    )
    figure.add_hline(y=1, line={"color": GREY, "dash": "dot"})
    figure.update_yaxes(title="times uniform attention", rangemode="tozero")
    label = "Attention held by each class of tokens, in multiples of uniform attention"
    return finish(figure, 280, "classes", label)
