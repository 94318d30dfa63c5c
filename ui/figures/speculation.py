"""Figures of a speculative run: what was accepted where, what was expected, what it cost."""

from collections.abc import Sequence

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import (
    LONGEST,
    STATUSES,
    Share,
    SpeculationResult,
    by_depth,
    by_entropy,
    by_rank,
    calibration,
    exits,
    levels,
    outcome_counts,
    pace,
)
from tokenarium.ui.figures.style import AMBER, BLUE, GREEN, GREY, RED, finish
from tokenarium.ui.text import plotly_text

FATE_COLOURS = {
    "accepted": GREEN,
    "cut": "#6ee7b7",
    "rejected": RED,
    "sibling_skipped": BLUE,
    "not_reached": GREY,
    "pruned_before_verify": "rgba(148,163,184,0.35)",
}
FATE_NAMES = {
    "accepted": "accepted",
    "cut": "accepted, cut",
    "rejected": "rejected",
    "sibling_skipped": "sibling taken",
    "not_reached": "not reached",
    "pruned_before_verify": "not verified",
}
HEIGHT = 240
NAMES = ("by_depth", "by_rank", "expected", "by_entropy", "fates", "verify", "time", "exits")


def figures(result: SpeculationResult) -> dict[str, go.Figure | None]:
    """Return every figure by name; None where the run has nothing for it."""
    found = levels(result)
    drawn = (
        shares(by_depth(found), "depth of the guess", "depth", 1),
        shares(by_rank(found), "rank among its siblings, by the draft", "rank", 1, 1),
        expected(result),
        unsure(by_entropy(found)),
        fates(result),
        verify(result),
        time_split(result),
        early(result),
    )
    return dict(zip(NAMES, drawn, strict=True))


def shares(
    found: Sequence[Share], axis: str, name: str, step: int, add: int = 0
) -> go.Figure | None:
    """Draw how often guesses were accepted, with how many there were.

    Args:
        found: by whole numbers.
        axis: what they are.
        name: of the file.
        step: between ticks.
        add: to every number, so that ranks begin at 1.
    """
    if not found:
        return None
    figure = go.Figure(
        go.Bar(
            x=[share.at + add for share in found],
            y=[share.share for share in found],
            text=[f"n={share.count}" for share in found],
            textposition="outside",
            cliponaxis=False,
            marker={"color": GREEN},
            customdata=[[share.happened, share.count] for share in found],
            hovertemplate=f"{name} %{{x}}: %{{customdata[0]}} of %{{customdata[1]}} accepted"
            "<extra></extra>",
        )
    )
    figure.update_xaxes(title=axis, dtick=step)
    figure.update_yaxes(title="share accepted", range=[0, 1.12], tickformat=".0%")
    label, columns = f"Share of guesses accepted, by {axis}", {"custom": ["accepted", "drafted"]}
    return finish(figure, HEIGHT, f"acceptance-by-{name}", label, columns=columns)


def expected(result: SpeculationResult) -> go.Figure | None:
    """Draw how often guesses were accepted against what was expected of them."""
    lines = (
        ("est_value", "what the drafter expected", BLUE, "circle"),
        ("p_accept_path", "what the rule gave it", AMBER, "diamond"),
    )
    figure = go.Figure()
    for column, name, colour, symbol in lines:
        found = calibration(result, column)
        if len(found) < 2:
            continue
        figure.add_trace(
            go.Scatter(
                x=[share.at for share in found],
                y=[share.share for share in found],
                name=name,
                mode="lines+markers",
                marker={
                    "color": colour,
                    "symbol": symbol,
                    "size": [6 + 2 * np.log2(share.count) for share in found],
                },
                line={"color": colour, "width": 1},
                customdata=[share.count for share in found],
                hovertemplate=f"{name} %{{x:.2f}}: accepted %{{y:.2f}} of %{{customdata}}"
                "<extra></extra>",
            )
        )
    if not figure.data:
        return None
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"color": GREY, "dash": "dot"})
    figure.update_xaxes(title="expected probability to be accepted", range=[-0.03, 1.03])
    figure.update_yaxes(title="share accepted", range=[-0.05, 1.08])
    label = "Share of guesses accepted against what was expected; on the dotted line both agree"
    return finish(figure, HEIGHT, "calibration", label, columns={"custom": ["drafted"]})


def unsure(found: Sequence[Share]) -> go.Figure | None:
    """Draw how often a guess was accepted by how unsure the draft was."""
    if len(found) < 2:
        return None
    figure = go.Figure(
        go.Scatter(
            x=[share.at for share in found],
            y=[share.share for share in found],
            mode="lines+markers+text",
            text=[f"n={share.count}" for share in found],
            textposition="top center",
            cliponaxis=False,
            marker={"color": GREEN, "size": 9},
            line={"color": GREEN, "width": 1},
            hovertemplate="entropy %{x:.2f} nats: %{y:.0%} accepted<extra></extra>",
        )
    )
    figure.update_xaxes(title="entropy of the draft's distribution (nats)", rangemode="tozero")
    figure.update_yaxes(title="share accepted", range=[0, 1.18], tickformat=".0%")
    label = "Share of levels at which a guess was accepted, by the entropy of the draft"
    return finish(figure, HEIGHT, "acceptance-by-entropy", label)


def fates(result: SpeculationResult) -> go.Figure | None:
    """Draw what became of all guesses."""
    found = outcome_counts(result)
    total = sum(found.values())
    if not total:
        return None
    figure = go.Figure(
        [
            go.Bar(
                y=["guesses"],
                x=[found[fate]],
                name=FATE_NAMES[fate],
                orientation="h",
                marker={"color": FATE_COLOURS[fate]},
                text=[f"{found[fate] / total:.0%}"],
                hovertemplate=f"{FATE_NAMES[fate]}: %{{x}} of {total}<extra></extra>",
            )
            for fate in STATUSES
            if fate in found
        ]
    )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="guesses drafted")
    figure.update_yaxes(showticklabels=False)
    label = "What became of every guess that was drafted"
    return finish(figure, 190, "fates", label, columns={"y": "what"})


def verify(result: SpeculationResult) -> go.Figure | None:
    """Draw the time of a pass of the target against how many tokens it read."""
    if not len(result.rounds):
        return None
    figure = go.Figure(
        go.Scatter(
            x=result.rounds["verified"] + 1,
            y=result.rounds["verify_ms"],
            mode="markers",
            name="pass that verifies",
            marker={"color": BLUE, "size": 7, "opacity": 0.7},
            customdata=np.arange(1, len(result.rounds) + 1),
            hovertemplate="round %{customdata}: %{x} tokens in %{y:.1f} ms<extra></extra>",
        )
    )
    if len(result.plain_step_ms):
        plain = float(np.median(result.plain_step_ms))
        figure.add_hline(
            y=plain,
            line={"color": AMBER, "dash": "dash"},
            annotation_text=f"one plain token, {plain:.1f} ms",
        )
    figure.update_xaxes(title="tokens read in the pass", rangemode="tozero")
    figure.update_yaxes(title="ms", rangemode="tozero")
    label, columns = "Time of a verifying pass by the size of its tree", {"custom": ["round"]}
    return finish(figure, HEIGHT, "verify-ms", label, columns=columns)


def time_split(result: SpeculationResult) -> go.Figure | None:
    """Draw where the time of a new token goes, beside autoregressive decoding."""
    found = pace(result)
    if not np.isfinite(found.total_ms):
        return None
    plain = np.isfinite(found.plain_ms)
    drafter = plotly_text(result.drafter)
    parts = (
        ("drafting", found.draft_ms, GREY),
        ("verifying", found.verify_ms, BLUE),
        ("bookkeeping", found.other_ms, AMBER),
    )
    figure = go.Figure(
        [
            go.Bar(
                y=[drafter],
                x=[ms],
                name=name,
                orientation="h",
                marker={"color": colour},
                hovertemplate=f"{name}: %{{x:.2f}} ms a token<extra></extra>",
            )
            for name, ms, colour in parts
        ]
    )
    if plain:
        figure.add_trace(
            go.Bar(
                y=["plain"],
                x=[found.plain_ms],
                name="plain decoding",
                orientation="h",
                marker={"color": GREEN},
                hovertemplate="plain: %{x:.2f} ms a token<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="ms per new token")
    figure.update_yaxes(automargin=True)
    label = "Time of a new token: drafting, verifying, bookkeeping, and plain decoding beside it"
    return finish(figure, 190, "time-split", label, columns={"y": "way"})


def early(result: SpeculationResult) -> go.Figure | None:
    """Draw how often each exit would have said the text, and what drafting there promises."""
    found = exits(result)
    if not found:
        return None
    layers = [exit_.layers for exit_ in found]
    figure = go.Figure(
        [
            go.Scatter(
                x=layers,
                y=[exit_.agreement for exit_ in found],
                name="agreement a",
                line={"color": BLUE, "width": 2},
                hovertemplate="after layer %{x}: %{y:.0%} of the text<extra></extra>",
            ),
            go.Scatter(
                x=layers,
                y=[exit_.promised for exit_ in found],
                name="tokens, over plain",
                line={"color": AMBER, "width": 2},
                hovertemplate="drafting with %{x} layers: %{y:.2f} times plain<extra></extra>",
            ),
            go.Scatter(
                x=[exit_.layers for exit_ in found if exit_.rounds],
                y=[exit_.promised for exit_ in found if exit_.rounds],
                customdata=[exit_.rounds for exit_ in found if exit_.rounds],
                name="chosen",
                mode="markers",
                marker={"color": GREEN, "size": 10},
                hovertemplate="layer %{x} drafted in %{customdata} rounds<extra></extra>",
            ),
        ]
    )
    figure.add_hline(y=1, line={"color": GREY, "dash": "dot"})
    figure.update_xaxes(title="layers that draft")
    figure.update_yaxes(title="share; times plain", rangemode="tozero")
    label = (
        "Agreement of exits with the text, and the tokens that the best chain of up to "
        f"{LONGEST} from there promises, over plain decoding in as many passes of a layer"
    )
    return finish(figure, HEIGHT, "exits", label, columns={"custom": ["rounds"]})
