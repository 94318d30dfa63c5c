"""How much attention each class of tokens holds."""

from collections.abc import Mapping, Sequence
from math import isfinite

from plotly import graph_objects as go

from tokenarium.backend import ClassMass
from tokenarium.ui.figures.definitions import defined
from tokenarium.ui.figures.style import AMBER, GREY, finish


def class_bars(classes: Sequence[ClassMass]) -> go.Figure:
    """Draw how many times its chance share each class of tokens holds, with 95 % intervals."""
    definition = "attention mass of the class over what uniform attention gives its positions"
    names = {c: f"{c.name}<br>{_counted(c)}" for c in classes}
    bars = go.Bar(
        x=list(names.values()),
        y=[c.times_noise for c in classes],
        marker={"color": AMBER},
        customdata=[_told(c) for c in classes],
        hovertemplate=f"%{{y:.2f}} times chance<br>%{{customdata}}{defined(definition)}"
        "<extra></extra>",
    )
    figure = go.Figure([bars, _intervals(names)])
    figure.add_hline(y=1, line={"color": GREY, "dash": "dot"})
    figure.update_layout(showlegend=False)
    figure.update_yaxes(title="times uniform attention", rangemode="tozero")
    label = "Attention held by each class of tokens, in multiples of uniform attention"
    return finish(figure, 280, "classes", label, columns={"x": "class"})


def _told(c: ClassMass) -> str:
    told = f"{_counted(c)} ({c.token_share:.1%}) with {c.mass_share:.1%} of the mass"
    return told + (f"<br>95 % interval {c.low:.2f} to {c.high:.2f}" if isfinite(c.low) else "")


def _counted(c: ClassMass) -> str:
    return f"{c.count} token{'s' if c.count > 1 else ''}"


def _intervals(names: Mapping[ClassMass, str]) -> go.Scatter:
    """Return the intervals apart from the bars: Plotly draws an unknown one as one of no width."""
    known = [c for c in names if isfinite(c.low)]
    return go.Scatter(
        x=[names[c] for c in known],
        y=[c.times_noise for c in known],
        error_y={
            "type": "data",
            "array": [c.high - c.times_noise for c in known],
            "arrayminus": [c.times_noise - c.low for c in known],
            "symmetric": False,
            "color": GREY,
        },
        mode="markers",
        marker={"color": GREY, "size": 4},
        hoverinfo="skip",
    )
