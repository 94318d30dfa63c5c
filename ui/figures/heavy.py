"""Heavy hitters: attention accumulated beside chance, on how few tokens, and for how long."""

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import (
    COVERAGE_SHARES,
    TraceResult,
    accumulated_chance,
    accumulated_mass,
    chosen_mean,
    coverage,
    held_by_heaviest,
    known_mean,
)
from tokenarium.ui.characters import named
from tokenarium.ui.figures.definitions import defined
from tokenarium.ui.figures.grids import by_head, grid_cells
from tokenarium.ui.figures.style import AMBER, BLUE, GREEN, GREY, finish
from tokenarium.ui.figures.token_lines import along_tokens, token_line

MOST_CURVE_POINTS = 256
TOKEN_TICKS = (0.0001, 0.001, 0.01, 0.1, 0.2, 0.5, 1)


def accumulated(result: TraceResult, layer: int, head: int, factor: float = 1.0) -> go.Figure:
    """Draw the attention every token accumulates, beside what uniform attention gives it."""
    mass = accumulated_mass(result, factor)
    rows = (
        (accumulated_chance(result, factor, layer), f"uniform attention, layer {layer}", GREY),
        (chosen_mean(mass), "all heads", GREEN),
        (chosen_mean(mass, layer), f"layer {layer}", BLUE),
        (chosen_mean(mass, layer, head), f"layer {layer}, head {head}", AMBER),
    )
    how = "every query counts alike" if factor == 1 else f"a query k back counts {factor:g}^k"
    definition = f"sum of attention received; {how}"
    lines = [
        token_line(
            np.where(values > 0, values, np.nan),
            named(result.token_text),
            name,
            colour,
            dash="dot" if colour == GREY else None,
            definition=definition,
        )
        for values, name, colour in rows
    ]
    figure = go.Figure(lines)
    figure.update_yaxes(title="accumulated attention", type="log", exponentformat="power")
    label = f"Attention accumulated by every token, log scale; {how}"
    return along_tokens(figure, result.length, 260, "accumulated", label)


def coverage_curves(result: TraceResult, layer: int, head: int, factor: float = 1.0) -> go.Figure:
    """Draw the share of the mass held by the heaviest tokens, and what chance gives."""
    mass = accumulated_mass(result, factor)
    rows = (
        (accumulated_chance(result, factor, layer), f"uniform attention, layer {layer}", GREY),
        (chosen_mean(mass), "all heads", GREEN),
        (chosen_mean(mass, layer), f"layer {layer}", BLUE),
        (chosen_mean(mass, layer, head), f"layer {layer}, head {head}", AMBER),
    )
    length = result.length
    counts = np.unique(np.geomspace(1, length, MOST_CURVE_POINTS).round().astype(np.int32))
    definition = "share of all attention mass that the heaviest tokens hold together"
    figure = go.Figure(
        [
            go.Scatter(
                x=counts / length,
                y=held_by_heaviest(values)[counts - 1],
                name=name,
                mode="lines",
                line={"color": colour, "width": 1.5, "dash": "dot" if colour == GREY else None},
                customdata=counts,
                hovertemplate=f"{name}<br>%{{customdata}} tokens (%{{x:.2%}}) hold %{{y:.1%}}"
                f"{defined(definition)}<extra></extra>",
            )
            for values, name, colour in rows
        ]
    )
    figure.update_xaxes(
        title="share of tokens, heaviest first", type="log", tickvals=TOKEN_TICKS, tickformat=".3~%"
    )
    figure.update_yaxes(
        title="share of the mass", range=[0, 1.02], tickvals=[0, *COVERAGE_SHARES], tickformat=".0%"
    )
    label = "Share of all attention mass held by the heaviest tokens, log scale of tokens"
    return finish(figure, 380, "coverage", label, columns={"custom": ["tokens"]})


def coverage_grid(result: TraceResult, share: float, factor: float = 1.0) -> go.Figure:
    """Draw for every head the share of tokens that hold ``share`` of the mass."""
    values = coverage(accumulated_mass(result, factor), (share,))[..., 0]
    title = f"tokens holding {share:.0%}"
    definition = f"smallest share of tokens that holds {share:.0%} of the head's attention mass"
    figure = go.Figure(grid_cells(values, title, definition, high=1))
    label = f"Share of tokens that hold {share:.0%} of the attention mass, by layer and head"
    return by_head(figure, values.shape, "coverage-grid", label)


def persistence(result: TraceResult, layer: int, head: int) -> go.Figure:
    """Draw how many pivotal tokens stay pivotal from run to run of queries, beside chance."""
    kept, chance = result.persistence, result.persistence_chance
    rows = (
        (chance[layer, head], f"by chance, layer {layer}, head {head}", GREY),
        (known_mean(kept[layer], 0), f"layer {layer}", BLUE),
        (kept[layer, head], f"layer {layer}, head {head}", AMBER),
    )
    runs = kept.shape[-1] + 1
    edges = [-(-run * result.length // runs) for run in range(runs + 1)]
    spans = [f"queries {edges[b]} to {edges[b + 1] - 1}" for b in range(1, runs)]
    definition = result.quantities()["persistence"].formula
    figure = go.Figure(
        [
            go.Scatter(
                x=np.arange(2, runs + 1),
                y=values.astype(np.float32),
                name=name,
                mode="lines+markers",
                line={"color": colour, "width": 1.5, "dash": "dot" if colour == GREY else None},
                customdata=spans,
                hovertemplate=f"%{{customdata}}<br>{name} %{{y:.1%}}{defined(definition)}"
                "<extra></extra>",
            )
            for values, name, colour in rows
        ]
    )
    figure.update_xaxes(title=f"run of queries, of {runs}", dtick=1)
    figure.update_yaxes(title="still pivotal", range=[-0.02, 1.02], tickformat=".0%")
    return finish(
        figure, 260, "persistence", "Share of pivotal tokens that were pivotal in the run before"
    )
