"""Figures of runs that stand beside each other: lines on one scale, heads as differences."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from tokenarium.backend import MEASURES, RunComparison, UserError
from tokenarium.ui.figures.definitions import defined
from tokenarium.ui.figures.grids import by_head, difference_cells, grid_cells
from tokenarium.ui.figures.style import AMBER, BLUE, GREEN, GREY, RED, SCALE, colour_bar, finish
from tokenarium.ui.figures.token_lines import drawn_positions, pooling_note
from tokenarium.ui.text import plotly_text

COLOURS = (BLUE, AMBER, GREEN, RED, "#8b5cf6", GREY)
DASHES = ("solid", "dash", "dot", "dashdot")
"""By run, so that lines can be told apart without colours too."""
SELECTS = {"token": "token", "step": "step", "round": "round", "point": "place"}
"""By axis, the part of the selection that a click changes."""
TITLES = 20
"""Pixels of the names over grids beside each other."""
HEIGHT = 250


def names(comparison: RunComparison) -> tuple[str, ...]:
    """Return the names of its figures."""
    return tuple(FIGURES) if comparison.heads else ("places", "differences")


def figure(comparison: RunComparison, name: str, **choices: Any) -> go.Figure:
    """Return a figure of it.

    Raises:
        UserError: naming the figures or choices there are.
    """
    if name not in names(comparison):
        there = ", ".join(names(comparison))
        raise UserError(f"figure={name!r}: a comparison of these runs has {there}")
    known = list(inspect.signature(FIGURES[name]).parameters)[1:]
    for choice in choices:
        if choice not in known:
            raise UserError(f"{choice}={choices[choice]!r}: figure {name!r} has {', '.join(known)}")
    return FIGURES[name](comparison, **choices)


def places(comparison: RunComparison, measure: str = "") -> go.Figure:
    """Draw a measure of every lane along the places, on one scale."""
    found = comparison.measure(measure)
    title = f"{found.title} ({found.unit})" if found.unit else found.title
    return _lines(comparison, found.values, range(len(comparison.lanes)), title, found.meaning)


def differences(comparison: RunComparison, measure: str = "") -> go.Figure:
    """Draw how much each lane's measure is above its reference, place by place."""
    found = comparison.measure(measure)
    title = f"difference ({found.unit})" if found.unit else "difference"
    others = [at for at, lane in enumerate(comparison.lanes) if lane.reference != at]
    values = comparison.difference(measure)
    drawn = _lines(
        comparison,
        values,
        others,
        title,
        f"{found.title} less that of the reference; {found.meaning}",
    )
    drawn.update_yaxes(zeroline=True, zerolinewidth=2)
    return drawn


def head_differences(comparison: RunComparison, measure: str = "sink") -> go.Figure:
    """Draw each later run's heads less those of the first run, even on both sides of zero."""
    values = comparison.head_difference(measure)[1:]
    runs = _run_names(comparison)
    titles = [f"{name} less the first" for name in runs[1:]]
    title = f"change in {MEASURES[measure].title}"
    if len(values) == 1:
        drawn = go.Figure(difference_cells(values[0], title, MEASURES[measure].definition))
        return by_head(drawn, values[0].shape, f"beside-difference-{measure}", title.capitalize())
    end = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0
    cells = difference_cells(values[0], title, MEASURES[measure].definition)
    scale = {"colorscale": cells.colorscale, "cmin": -(end or 1.0), "cmax": end or 1.0}
    return grids_beside(list(values), titles, measure, title, scale, "beside-difference")


def head_values(comparison: RunComparison, measure: str = "sink") -> go.Figure:
    """Draw a measure of every run's heads, in one scale of colours."""
    comparison.head_difference(measure)  # refuses what is not there
    chosen, values = MEASURES[measure], comparison.heads[measure]
    highest = float(values[np.isfinite(values)].max(initial=0))
    scale = {
        "colorscale": SCALE,
        "cmin": chosen.low,
        "cmax": (highest or 1.0) if chosen.high is None else chosen.high,
    }
    return grids_beside(
        list(values), _run_names(comparison), measure, chosen.title, scale, "beside-heads"
    )


def grids_beside(
    values: Sequence[NDArray[np.floating]],
    titles: Sequence[str],
    measure: str,
    title: str,
    scale: dict[str, Any],
    name: str,
) -> go.Figure:
    """Draw grids [L, H] beside each other in one scale of colours.

    Args:
        values: of every run.
        titles: what stands over each grid.
        measure: one of ``MEASURES``.
        title: of the scale.
        scale: ``colorscale``, ``cmin`` and ``cmax``.
        name: of the file.
    """
    drawn = make_subplots(
        rows=1,
        cols=len(values),
        subplot_titles=[plotly_text(each) for each in titles],
        horizontal_spacing=0.16 / len(values),
    )
    for column, grid in enumerate(values, start=1):
        cells = grid_cells(grid, title, MEASURES[measure].definition)
        cells.update(coloraxis="coloraxis", colorbar=None)
        drawn.add_trace(cells, row=1, col=column)
    drawn.update_layout(coloraxis={**scale, "colorbar": colour_bar(title)})
    label = f"{title.capitalize()} by layer and head of all runs, on one scale"
    drawn = by_head(drawn, values[0].shape, f"{name}-{measure}", label)
    drawn.update_annotations(font={"size": 12})
    for column in range(2, len(values) + 1):
        drawn.update_yaxes(title=None, col=column)
    return drawn.update_layout(
        height=drawn.layout.height + TITLES, margin={"t": drawn.layout.margin.t + TITLES}
    )


def _run_names(comparison: RunComparison) -> list[str]:
    return [lane.name for lane in comparison.lanes]


def _lines(
    comparison: RunComparison,
    values: NDArray[np.floating],
    lanes: Sequence[int],
    title: str,
    meaning: str,
) -> go.Figure:
    runs = {run.id: number for number, run in enumerate(comparison.runs)}
    drawn = go.Figure()
    for order, at in enumerate(lanes):
        lane = comparison.lanes[at]
        shown = drawn_positions(values[at])
        alone = len(comparison.lanes) == len(runs)
        drawn.add_trace(
            go.Scatter(
                x=shown,
                y=values[at][shown].astype(np.float32),
                name=plotly_text(lane.name),
                mode="lines+markers" if values.shape[1] <= 400 else "lines",
                line={
                    "color": COLOURS[(at if alone else order) % len(COLOURS)],
                    "width": 1.5,
                    "dash": DASHES[runs[lane.run_id] % len(DASHES)],
                },
                marker={"size": 4},
                customdata=[plotly_text(comparison.places[place]) for place in shown.tolist()],
                hovertemplate=f"{comparison.axis} %{{x}} “%{{customdata}}”<br>"
                f"{plotly_text(lane.name)}: %{{y:.4g}}{defined(meaning)}<extra></extra>",
            )
        )
    count = values.shape[1]
    note = pooling_note(count)
    axis = "aligned token" if comparison.axis == "token" else comparison.axis
    drawn.update_xaxes(title=axis + note, range=[-0.5, count - 0.5])
    drawn.update_yaxes(title=title, automargin=True)
    drawn.update_layout(hovermode="closest", showlegend=True)
    label = f"{title.capitalize()} of every run, {axis} by {axis}{note}"
    return finish(drawn, HEIGHT + 18 * len(lanes), "beside", label, x=SELECTS[comparison.axis])


FIGURES: dict[str, Callable[..., go.Figure]] = {
    "places": places,
    "differences": differences,
    "head_differences": head_differences,
    "head_values": head_values,
}
"""By name; those of heads where heads can be paired."""
