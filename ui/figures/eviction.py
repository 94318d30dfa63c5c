"""A run under KV-cache policies: what is held when, and what it costs in bytes, time, quality."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from backend import CacheResult, PolicyRun
from ui.figures.style import AMBER, BLUE, GREEN, GREY, RED, colour_bar, finish
from ui.text import plotly_text

MOST_COLUMNS = 512
COLOURS = (GREY, AMBER, BLUE, GREEN, RED, "#8b5cf6", "#0891b2", "#a16207")
DASHES = ("solid", "dash", "dot", "dashdot")


def held_map(run: PolicyRun, layer: int, head: int) -> go.Figure:
    """Draw which tokens a KV head holds after every step; of a long text, the share of each run."""
    result = run.result
    prompt, steps = len(result.prompt_ids), max(run.steps, 1)
    gone = result.evicted_at[run.number, layer, head, : prompt + steps]
    step = np.arange(steps)[:, None]
    read = np.arange(len(gone)) < prompt + step
    held = ((gone < 0) | (gone > step)) & read
    edges, shares = _pooled(np.where(read, held, np.nan), MOST_COLUMNS)
    title = _title(run)
    pooled = int(np.diff(edges).max())
    scale = "each cell one token" if pooled == 1 else f"share of up to {pooled} tokens"
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=edges - 0.5,
            y=np.arange(steps),
            zmin=0,
            zmax=1,
            colorscale=[[0, "rgba(148,163,184,0.25)"], [1, BLUE]],
            colorbar=colour_bar(f"held ({scale})"),
            hovertemplate="token near %{x:.0f}, after step %{y}: %{z:.2f} held<extra></extra>",
        )
    )
    figure.update_xaxes(title="token position", showgrid=False)
    figure.update_yaxes(title="step", autorange="reversed", showgrid=False)
    label = f"Tokens held by {title} in layer {layer}, KV head {head}, after every step"
    return finish(figure, 300, f"held-{run.policy}", label)


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
    figure.add_hline(y=found.threshold, line={"color": RED, "dash": "dash"})
    figure.update_xaxes(title="token position")
    figure.update_yaxes(title="score")
    label = (
        f"Scores of {_title(run)} at step {found.step}, layer {layer}, KV head {head}; what lies "
        "above the dashed line stays"
    )
    return finish(figure, 260, f"scores-{run.policy}", label)


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
    return finish(figure, 240, name, label)


def _title(run: PolicyRun) -> str:
    return plotly_text(run.result.titles[run.number])


def _known_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(-1)
    count = known.sum(-1)
    return np.where(count, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _pooled(
    values: NDArray[np.floating], columns: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return n+1 edges, and [R, n]: means of runs of columns over the known entries."""
    length = values.shape[1]
    runs = min(columns, length)
    edges = np.array([run * length // runs for run in range(runs + 1)], np.int32)
    known = np.isfinite(values)
    total = np.add.reduceat(np.where(known, values, 0), edges[:-1], axis=1)
    count = np.add.reduceat(known.astype(np.int32), edges[:-1], axis=1)
    return edges, np.where(count, total / np.maximum(count, 1), np.nan).astype(np.float32)
