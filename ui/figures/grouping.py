"""How a policy found what it reads: its search, its clusters, and how alike its layers are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from tokenarium.backend import LAYERS_ALIKE, PolicyRun, Searched
from tokenarium.ui.figures.style import AMBER, BLUE, GREEN, GREY, RED, finish
from tokenarium.ui.text import many, plotly_text

LEFT = "rgba(148,163,184,0.45)"
THICK = 0.7


def search_tree(run: PolicyRun, step: int, layer: int, head: int) -> go.Figure | None:
    """Draw which ranges of the text a search looked at, level by level, and which it opened.

    Args:
        run: of one policy.
        step: the search is the latest recorded one up to it.
        layer: which.
        head: KV head.
    Returns: None where nothing was searched.
    """
    found = run.searched(step, layer, head)
    if found is None:
        return None
    figure = go.Figure()
    for name, colour, which in (
        ("looked at and left", LEFT, ~found.opened),
        ("opened; on the last level read", BLUE, found.opened),
    ):
        figure.add_trace(_ranges(found, which, name, colour))
    unsought = _unsought(run, found, layer, head)
    if len(unsought):
        figure.add_trace(_always(unsought, int(found.level.max())))
    levels = range(int(found.level.max()) + 1)
    sizes = [_longest(found, level) for level in levels]
    figure.update_yaxes(
        title="tokens in a range",
        tickvals=list(levels),
        ticktext=sizes,
        autorange="reversed",
        showgrid=False,
    )
    figure.update_xaxes(title="token position", range=[-0.5, _end(run, found.step) - 0.5])
    figure.update_layout(barmode="overlay", bargap=0)
    label = (
        f"What {plotly_text(run.result.titles[run.number])} looked at to find what step "
        f"{found.step} reads in layer {layer}, KV head {head}"
    )
    return finish(figure, 260, f"search-{run.policy}", label)


def _ranges(found: Searched, which: NDArray[np.bool_], name: str, colour: str) -> go.Bar:
    """Return the ranges as bars, each as wide as it is long."""
    first, stop = found.first[which], found.stop[which]
    rows = zip(first.tolist(), (stop - 1).tolist(), found.scores[which].tolist(), strict=True)
    return go.Bar(
        orientation="h",
        base=first - 0.5,
        x=stop - first,
        y=found.level[which],
        width=THICK,
        name=name,
        marker={"color": colour, "line": {"width": 1, "color": "rgba(100,116,139,0.8)"}},
        customdata=[list(row) for row in rows],
        hovertemplate="tokens %{customdata[0]} to %{customdata[1]}: score %{customdata[2]:.4g}<br>"
        f"{name}<extra></extra>",
    )


def _unsought(run: PolicyRun, found: Searched, layer: int, head: int) -> NDArray[np.int32]:
    """Return [n, 2] the ranges that the step read without any search: first, and after the last."""
    read = run.selected(found.step, layer, head)
    if read is None:
        return np.zeros((0, 2), np.int32)
    own = np.zeros(_end(run, found.step) + 2, np.int8)
    own[read + 1] = 1
    last = found.opened & (found.level == found.level.max())
    for first, stop in zip(found.first[last], found.stop[last], strict=True):
        own[first + 1 : stop + 1] = 0
    edges = np.diff(own)
    return np.stack((np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)), 1).astype(np.int32)


def _always(ranges: NDArray[np.int32], level: int) -> go.Bar:
    first, stop = ranges.T
    return go.Bar(
        orientation="h",
        base=first - 0.5,
        x=stop - first,
        y=np.full(len(first), level),
        width=THICK,
        name="read without a search",
        marker={"color": AMBER},
        customdata=[[int(a), int(b) - 1] for a, b in ranges],
        hovertemplate="tokens %{customdata[0]} to %{customdata[1]}: read without a search"
        "<extra></extra>",
    )


def _longest(found: Searched, level: int) -> str:
    return str(int((found.stop - found.first)[found.level == level].max()))


def _end(run: PolicyRun, step: int) -> int:
    return len(run.result.prompt_ids) + step


@dataclass(frozen=True)
class Cluster:
    """One cluster of a head's prefix."""

    number: int
    tokens: NDArray[np.intp]
    """Positions, ascending."""
    read: bool | None
    """Whether the step read it; None where nothing is recorded of the step."""


def clusters_of(run: PolicyRun, step: int, layer: int, head: int) -> list[Cluster]:
    """Return the clusters of a KV head, those read first, then the largest; none if it has none."""
    member = run.clusters(layer, head)
    if member is None:
        return []
    read = run.selected(step, layer, head)
    found = []
    for number in range(1, int(member.max(initial=0)) + 1):
        tokens = np.flatnonzero(member == number)
        if len(tokens):
            known = None if read is None else bool(np.isin(tokens[0], read))
            found.append(Cluster(number, tokens, known))
    return sorted(found, key=lambda own: (not own.read, -len(own.tokens), own.number))


def likeness_bars(run: PolicyRun) -> go.Figure | None:
    """Draw how alike the keys and the values of neighbouring layers are; None where unknown."""
    found = run.likeness
    if not found:
        return None
    pairs = [f"{lower} and {upper}" for lower, upper, *_ in found]
    figure = go.Figure()
    for part, name, colour in ((2, "keys", BLUE), (3, "values", GREEN)):
        figure.add_trace(
            go.Bar(
                x=[pair[0] for pair in found],
                customdata=pairs,
                y=[pair[part] for pair in found],
                name=name,
                marker={"color": colour},
                hovertemplate=f"layers %{{customdata}}: mean cosine of {name} %{{y:.3f}}"
                "<extra></extra>",
            )
        )
    figure.add_hline(y=LAYERS_ALIKE, line={"color": RED, "dash": "dash"})
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    figure.update_xaxes(title="lower of two neighbouring layers")
    figure.update_yaxes(title="mean cosine", range=[-1, 1])
    label = (
        f"How alike the entries of {many(len(found), 'pair')} of neighbouring layers are, which "
        f"{plotly_text(run.result.titles[run.number])} rests on; below the dashed line they have "
        "little in common"
    )
    return finish(figure, 240, f"likeness-{run.policy}", label)
