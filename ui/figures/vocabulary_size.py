"""Premium by language as the vocabulary grows."""

from collections.abc import Sequence

from plotly import graph_objects as go

from tokenarium.backend import SizeCurve
from tokenarium.ui.figures.eviction import COLOURS, DASHES
from tokenarium.ui.figures.style import finish
from tokenarium.ui.text import plotly_text

MOST_LINES = 8


def vocabulary_size(curves: Sequence[SizeCurve], against: str) -> go.Figure:
    """Draw the premium of each language at each size, with its interval; at most eight of them.

    Of more the ones that are drawn lie evenly from the lowest to the highest premium at the end.

    Args:
        curves: of one tokenizer, or of a tokenizer for each language.
        against: name of the language that stands for 1.
    """
    figure = go.Figure()
    for number, curve in enumerate(spread(curves)):
        kept = [k for k, each in enumerate(curve.premiums) if each.tokens]
        value = [curve.premiums[k].value for k in kept]
        figure.add_trace(
            go.Scatter(
                x=[curve.entries[k] for k in kept],
                y=value,
                name=plotly_text(curve.text.name),
                mode="lines+markers",
                line={
                    "color": COLOURS[number % len(COLOURS)],
                    "dash": DASHES[number % len(DASHES)],
                },
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [curve.premiums[k].high - curve.premiums[k].value for k in kept],
                    "arrayminus": [curve.premiums[k].value - curve.premiums[k].low for k in kept],
                    "thickness": 1,
                    "width": 2,
                },
                customdata=[curve.premiums[k].tokens for k in kept],
                hovertemplate="%{x:,} entries: %{y:.2f}, %{customdata:,} tokens",
            )
        )
    figure.update_xaxes(title="entries of the vocabulary", type="log", dtick="D2")
    figure.update_yaxes(title=f"premium to {plotly_text(against)}")
    label = f"Tokens by language over those of {against} as the vocabulary grows; 95 % intervals"
    return finish(figure, 360, "vocabulary-size", label)


def spread(curves: Sequence[SizeCurve]) -> list[SizeCurve]:
    """Return at most eight curves, evenly from the lowest to the highest at the end, highest first.

    Languages that the tokenizer leaves out are not among them.
    """
    spelled = [curve for curve in curves if curve.premiums[-1].tokens]
    order = sorted(spelled, key=lambda curve: -curve.premiums[-1].value)
    if len(order) <= MOST_LINES:
        return order
    step = (len(order) - 1) / (MOST_LINES - 1)
    return [order[round(number * step)] for number in range(MOST_LINES)]
