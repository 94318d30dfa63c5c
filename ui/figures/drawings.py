"""What strategies draw: premises and searches, one above the other."""

from collections.abc import Sequence
from textwrap import wrap

from plotly import graph_objects as go
from plotly.subplots import make_subplots

from tokenarium.backend import Drawing
from tokenarium.ui.figures.style import AMBER, BLUE, GREEN, GREY, RED, finish
from tokenarium.ui.text import plotly_text

COLOURS = (GREY, RED, BLUE, AMBER, GREEN)
ROW = 245
"""Height of a drawing, in pixels."""
LINE = 40
"""Characters of a title's line: as many as a phone shows."""
JOINED = 40
"""Points of a series from which on they are a line alone."""


def drawings(found: Sequence[tuple[str, Drawing]], name: str, label: str) -> go.Figure | None:
    """Draw each under the name of its lane; None without any.

    Args:
        found: titles of lanes, and what is drawn of each.
        name: of an exported picture.
        label: what the figure shows, for screen readers.
    """
    if not found:
        return None
    figure = make_subplots(
        rows=len(found),
        cols=1,
        subplot_titles=[_titled(title, drawing.title) for title, drawing in found],
        vertical_spacing=0.42 / len(found),
    )
    for row, (_, drawing) in enumerate(found, 1):
        for place, series in enumerate(drawing.series):
            alone = len(drawing.series) == 1
            line = len(series.x) > JOINED or len(series.x) == 2
            figure.add_trace(
                go.Scatter(
                    x=list(series.x),
                    y=list(series.y),
                    name=plotly_text(series.name),
                    mode="lines" if line else "lines+markers" if alone else "markers",
                    line={"width": 1.5, "color": COLOURS[place % len(COLOURS)]},
                    marker={"size": 7, "color": COLOURS[place % len(COLOURS)]},
                    hovertemplate="%{x:.3g}, %{y:.3g}<extra>%{fullData.name}</extra>",
                ),
                row=row,
                col=1,
            )
        figure.update_xaxes(title={"text": plotly_text(drawing.x), "standoff": 2}, row=row, col=1)
        figure.update_yaxes(title=plotly_text(drawing.y), row=row, col=1)
    figure.update_annotations(font={"size": 12}, x=0, xanchor="left", align="left")
    made = finish(figure, ROW * len(found) + 120, name, label)
    # Names of series above the first drawing's title, also where they stand beneath each other.
    legend = {"yref": "container", "y": 1, "yanchor": "top"}
    return made.update_layout(margin={"t": 112, "l": 56}, legend=legend)


def _titled(lane: str, title: str) -> str:
    """Return what stands above a drawing, in lines that a narrow page shows whole."""
    return "<br>".join(plotly_text(line) for line in [f"{lane}:", *wrap(title, LINE)])
