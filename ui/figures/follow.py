"""One token followed through one head: one row and one column of the attention map."""

from plotly import graph_objects as go

from tokenarium.backend import FollowResult, TraceResult
from tokenarium.ui.characters import named
from tokenarium.ui.figures.style import AMBER, BLUE
from tokenarium.ui.figures.token_lines import along_tokens, token_line
from tokenarium.ui.text import plotly_text


def followed(
    result: TraceResult, found: FollowResult, token: int, layer: int, head: int
) -> go.Figure:
    """Draw where a token looks and who looks at it; a click chooses another token."""
    define = found.quantities()
    lines = (
        (found.looks_at, "it looks at", AMBER, "looks_at"),
        (found.looked_at_by, "look at it", BLUE, "looked_at_by"),
    )
    figure = go.Figure(
        [
            token_line(
                values, named(result.token_text), name, colour, definition=define[field].formula
            )
            for values, name, colour, field in lines
        ]
    )
    figure.update_yaxes(title="attention", rangemode="tozero")
    name = plotly_text(named(result.token_text)[token])
    label = f"Where token {token} “{name}” looks and who looks at it, layer {layer}, head {head}"
    return along_tokens(figure, result.length, 280, "follow", label)
