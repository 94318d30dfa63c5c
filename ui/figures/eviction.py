"""A run under KV-cache policies: what is held when, and what it costs in bytes, time, quality."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from tokenarium.backend import (
    KINDS,
    NEVER,
    NO_HEAD,
    CacheResult,
    PolicyRun,
    Protected,
    Scores,
    first_whole,
    kinds,
)
from tokenarium.ui.figures.style import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    RED,
    SCALE,
    colour_bar,
    finish,
)
from tokenarium.ui.text import plotly_text

MOST_COLUMNS = 512
COLOURS = (GREY, AMBER, BLUE, GREEN, RED, "#8b5cf6", "#0891b2", "#a16207")
KIND_COLOURS = ("rgba(148,163,184,0.22)", GREY, AMBER, "#8b5cf6", BLUE, GREEN)
"""In the order of ``KINDS``; the same as in the style sheet."""
BORDER = "rgba(100,116,139,0.55)"
MOST_BORDERS = 128
"""Blocks whose borders are drawn; of more, lines would hide the cells."""
MOST_MEMBERS = 8
"""Tokens that a merged entry names."""
MOST_NAMED = 128 * 128
"""Cells that carry their names; of more, colours and the scale say which."""
DASHES = ("solid", "dash", "dot", "dashdot")


def held_map(run: PolicyRun, own: Protected, layer: int, head: int) -> go.Figure:
    """Draw why each token is held or gone after every step; of a long text, what most are.

    Args:
        run: of one policy.
        own: what it protects in the layer.
        layer: which.
        head: KV head.
    """
    edges, values, names = held_cells(run, own, layer, head)
    pooled = int(np.diff(edges).max())
    near = "" if pooled == 1 else f" (what most of up to {pooled} tokens are)"
    named = names is not None
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=edges - 0.5,
            y=np.arange(len(values)),
            text=names,
            zmin=-0.5,
            zmax=len(KINDS) - 0.5,
            colorscale=_steps(KIND_COLOURS),
            colorbar={
                **colour_bar(""),
                "tickvals": list(range(len(KINDS))),
                "ticktext": [kind.title for kind in KINDS],
            },
            hovertemplate=f"token %{{x:.0f}}, after step %{{y}}{near}"
            f"{': %{text}' if named else ''}<extra></extra>",
        )
    )
    if own.plan is not None:
        figure.add_trace(_stored_edge(run, own, layer, head))
    if own.block > 1 and int(edges[-1]) <= own.block * MOST_BORDERS:
        figure.add_trace(_block_borders(own.block, int(edges[-1]), len(values)))
    figure.update_xaxes(title="token position", showgrid=False)
    figure.update_yaxes(title="step", autorange="reversed", showgrid=False)
    return finish(figure, 300, f"held-{run.policy}", held_label(run, layer, head), y="step")


def _stored_edge(run: PolicyRun, own: Protected, layer: int, head: int) -> go.Scatter:
    """Return the line left of which entries are stored in another form, such as 4 bits."""
    assert own.plan is not None
    edge = first_whole(run, own.plan, layer, head)
    return go.Scatter(
        x=edge - 0.5,
        y=np.arange(len(edge)),
        mode="lines",
        name=f"left of it: {own.form}",
        showlegend=True,
        line={"color": RED, "width": 2, "dash": "dot", "shape": "vh"},
        hovertemplate=f"older than token %{{x:.0f}}: {plotly_text(own.form)}<extra></extra>",
    )


def _block_borders(block: int, tokens: int, steps: int) -> go.Scatter:
    """Return the lines between blocks of so many tokens, which are read together or not at all."""
    x: list[float | None] = []
    y: list[float | None] = []
    for edge in range(block, tokens, block):
        x += [edge - 0.5, edge - 0.5, None]
        y += [-0.5, steps - 0.5, None]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        name=f"border of a block of {block} tokens",
        showlegend=True,
        line={"color": BORDER, "width": 1},
        hoverinfo="skip",
    )


def held_cells(
    run: PolicyRun, own: Protected, layer: int, head: int
) -> tuple[NDArray[np.integer], NDArray[np.float32], NDArray[np.str_] | None]:
    """Return edges of columns, number of the kind of each cell, and its name if it carries one."""
    edges, cells = _commonest(kinds(run, own, layer, head), MOST_COLUMNS)
    titles = np.array([*(kind.title for kind in KINDS), "not read yet"])
    names = None
    if cells.size <= MOST_NAMED:
        names = titles[cells]
        if np.diff(edges).max() == 1:
            names = _with_members(names, run, layer, head)
    return edges, np.where(cells < 0, np.nan, cells).astype(np.float32), names


def _with_members(
    names: NDArray[np.str_], run: PolicyRun, layer: int, head: int
) -> NDArray[np.str_]:
    """Return names [S, T + S] that say of merged entries which tokens they are."""
    found = names.astype(object)
    for step in range(len(found)):
        members: dict[int, list[int]] = {}
        for position, into in sorted(run.merged(step, layer, head).items()):
            members.setdefault(into, []).append(position)
            found[step, position] = f"a part of token {into}"
        for into, parts in members.items():
            few = ", ".join(map(str, parts[:MOST_MEMBERS]))
            more = f" and {len(parts) - MOST_MEMBERS} more" if len(parts) > MOST_MEMBERS else ""
            if found[step, into] != "evicted":
                found[step, into] += f", with the tokens {few}{more}"
    return found.astype(str)


def held_label(run: PolicyRun, layer: int, head: int) -> str:
    """Return what the map of a head is called."""
    return f"Tokens held by {_title(run)} in layer {layer}, KV head {head}, after every step"


def held_by_head(run: PolicyRun, step: int) -> go.Figure:
    """Draw how many entries every KV head of every layer holds after a step: roles and budgets."""
    gone = run.result.evicted_at[run.number, :, :, : len(run.result.prompt_ids) + step]
    held = ((gone == NEVER) | (gone > step)).sum(-1).astype(np.float32)
    held[(gone == NO_HEAD).all(-1)] = np.nan
    layers, heads = held.shape
    figure = go.Figure(
        go.Heatmap(
            z=held,
            x=np.arange(heads),
            y=np.arange(layers),
            zmin=0,
            colorscale=SCALE,
            colorbar=colour_bar("entries"),
            hovertemplate="layer %{y}, KV head %{x}: %{z:.0f} entries<extra></extra>",
        )
    )
    figure.update_xaxes(title="KV head", dtick=1, showgrid=False)
    figure.update_yaxes(title="layer", showgrid=False)
    label = f"Entries held by {_title(run)} in every layer and KV head after step {step}"
    return finish(figure, 300, f"held-by-head-{run.policy}", label)


def bytes_line(result: CacheResult) -> go.Figure:
    """Draw the bytes of every policy's cache after each step."""
    lines = [(run, run.cache_bytes / 2**20) for run in result.runs]
    return _lines(lines, "cache (MiB)", "cache-bytes", "Bytes of the cache after every step")


def time_line(result: CacheResult) -> go.Figure:
    """Draw the wall time of every step under every policy."""
    lines = [(run, run.step_ms) for run in result.runs]
    return _lines(lines, "ms per token", "step-ms", "Wall time of every step")


def cost_line(result: CacheResult) -> go.Figure:
    """Draw how far every policy moves the prediction from the full cache's, step by step."""
    lines = [(run, run.kl_nats) for run in result.runs]
    label = "Divergence from the full cache after every step"
    return _lines(lines, "KL (nats)", "kl", label)


def lost_line(result: CacheResult) -> go.Figure:
    """Draw the attention that the full model gives to what each policy has dropped."""
    lines = [(run, _known_mean(result.lost_mass[run.number, : run.steps])) for run in result.runs]
    label = "Attention of the full model to dropped tokens, mean over layers, after every step"
    return _lines(lines, "attention lost", "lost-mass", label)


def scores(run: PolicyRun, step: int, layer: int, head: int) -> go.Figure | None:
    """Draw how a policy scored the text at its last recorded choice, with the threshold."""
    found = run.score(step, layer, head)
    if found is None:
        return None
    middles = (found.edges[:-1] + found.edges[1:]) / 2
    figure = go.Figure(
        [
            go.Scatter(
                x=middles,
                y=found.pooled,
                mode="lines",
                name="mean score",
                line={"color": BLUE, "shape": "hvh"},
                hovertemplate="near token %{x:.0f}: mean score %{y:.4g}<extra></extra>",
            ),
            go.Scatter(
                x=found.positions,
                y=found.near,
                mode="markers",
                name="close decisions",
                marker={"color": AMBER, "size": 7, "symbol": "diamond"},
                hovertemplate="token %{x}: score %{y:.5g}<extra></extra>",
            ),
        ]
    )
    if np.isfinite(found.noise_pooled).any():
        figure.add_trace(_noise(found))
    figure.add_hline(y=found.threshold, line={"color": RED, "dash": "dash"})
    figure.update_xaxes(title="token position")
    figure.update_yaxes(title="score")
    said = scores_label(run, found.step, layer, head)
    return finish(figure, 260, f"scores-{run.policy}", said["label"])


def scores_label(run: PolicyRun, step: int, layer: int, head: int) -> dict[str, str]:
    """Return what a figure of scores is called: name of a file, and a sentence."""
    label = (
        f"Scores of {_title(run)} at step {step}, layer {layer}, KV head {head}; what lies "
        "above the dashed line stays; the grey line is what attention without meaning would score"
    )
    return {"name": f"tokenarium-scores-{run.policy}", "label": label}


def _noise(found: Scores) -> go.Scatter:
    return go.Scatter(
        x=(found.edges[:-1] + found.edges[1:]) / 2,
        y=found.noise_pooled,
        mode="lines",
        name="by chance",
        line={"color": GREY, "shape": "hvh", "dash": "dot"},
        hovertemplate="near token %{x:.0f}: %{y:.4g} if attention said nothing<extra></extra>",
    )


def _lines(
    lines: Sequence[tuple[PolicyRun, NDArray[np.floating]]], axis: str, name: str, label: str
) -> go.Figure:
    figure = go.Figure()
    for number, (run, values) in enumerate(lines):
        title = _title(run)
        figure.add_trace(
            go.Scatter(
                x=np.arange(len(values)),
                y=values.astype(np.float32),
                name=title,
                mode="lines",
                line={
                    "color": COLOURS[number % len(COLOURS)],
                    "dash": DASHES[number % len(DASHES)],
                    "width": 1.8,
                },
                hovertemplate=f"{title}<br>step %{{x}}: %{{y:.4g}}<extra></extra>",
            )
        )
    figure.update_xaxes(title="step")
    figure.update_yaxes(title=axis, rangemode="tozero")
    return finish(figure, 240, name, label, x="step")


def _title(run: PolicyRun) -> str:
    return plotly_text(run.result.titles[run.number])


def _known_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(-1)
    count = known.sum(-1)
    return np.where(count, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _commonest(cells: NDArray[np.int8], columns: int) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Return n+1 edges, and [R, n] the commonest number of each run of columns; -1 where none."""
    length = cells.shape[1]
    runs = min(columns, length)
    edges = np.array([run * length // runs for run in range(runs + 1)], np.int32)
    counts = np.stack(
        [np.add.reduceat(cells == number, edges[:-1], axis=1) for number in range(len(KINDS))]
    )
    return edges, np.where(counts.any(0), counts.argmax(0), -1).astype(np.int8)


def _steps(colours: Sequence[str]) -> list[list[float | str]]:
    """Return a colour scale of equal flat steps."""
    count = len(colours)
    return [[(n + end) / count, colour] for n, colour in enumerate(colours) for end in (0, 1)]
