"""Figures of an audit: gaps by token, how evenly ranks are spread, the power of the test."""

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import AuditResult
from tokenarium.ui.figures.style import AMBER, BLUE, GREY, RED, finish
from tokenarium.ui.text import plotly_text

HEIGHT, BINS = 230, 10
NAMES = ("gaps", "ranks", "powers")


def figures(result: AuditResult) -> dict[str, go.Figure | None]:
    """Return every figure by name; None where the run has nothing for it."""
    drawn = np.isfinite(result.rank_share).any()
    return {
        "gaps": None if drawn or not (result.gap > 0).any() else gaps(result),
        "ranks": ranks(result) if drawn else None,
        "powers": powers(result) if len(result.temperature_factor) else None,
    }


def gaps(result: AuditResult) -> go.Figure:
    """Draw how far each token is behind the likeliest, with the tolerance."""
    beyond = result.gap > result.tolerance_nats
    figure = go.Figure(
        go.Bar(
            x=np.arange(len(result.gap)),
            y=result.gap,
            marker={"color": np.where(beyond, RED, AMBER).tolist()},
            customdata=[
                [plotly_text(own), plotly_text(best)]
                for own, best in zip(result.token_text, result.best_text, strict=True)
            ],
            hovertemplate="token %{x}: %{customdata[0]}, likeliest %{customdata[1]}<br>"
            "%{y:.3g} nats behind<extra></extra>",
        )
    )
    figure.add_hline(y=result.tolerance_nats, line={"color": GREY, "dash": "dash"})
    figure.update_xaxes(title="generated token")
    figure.update_yaxes(title="nats behind the likeliest", rangemode="tozero", automargin=True)
    label = "How far each generated token is behind the likeliest one; dashed, the tolerance"
    columns = {"custom": ["token", "likeliest"]}
    return finish(figure, HEIGHT, "audit-gaps", label, columns=columns)


def ranks(result: AuditResult) -> go.Figure:
    """Draw how often tokens stood in each tenth of the distribution they were drawn from."""
    known = result.rank_share[np.isfinite(result.rank_share)]
    counts, edges = np.histogram(known, BINS, (0, 1))
    figure = go.Figure(
        go.Bar(
            x=((edges[1:] + edges[:-1]) / 2).tolist(),
            y=counts,
            marker={"color": BLUE},
            hovertemplate="%{y} tokens around %{x:.2f}<extra></extra>",
        )
    )
    figure.add_hline(y=len(known) / BINS, line={"color": GREY, "dash": "dash"})
    figure.update_xaxes(title="rank share: 0 the likeliest, 1 the least likely", range=[0, 1])
    figure.update_yaxes(title="tokens", rangemode="tozero")
    label = "How often tokens stood in each tenth of their distribution; dashed, drawn as stated"
    return finish(figure, HEIGHT, "audit-ranks", label)


def powers(result: AuditResult) -> go.Figure:
    """Draw how surely the test finds a text that was drawn at another temperature."""
    figure = go.Figure(
        go.Scatter(
            x=result.temperature_factor,
            y=result.factor_power,
            mode="lines+markers",
            marker={"color": BLUE, "size": 7},
            line={"color": BLUE},
            customdata=result.factor_distance,
            hovertemplate="%{x:.2f} times the temperature: found with %{y:.2f}, mean total "
            "variation %{customdata:.2f}<extra></extra>",
        )
    )
    figure.add_hline(y=0.8, line={"color": GREY, "dash": "dash"})
    figure.update_xaxes(title="temperature of the text / temperature stated")
    figure.update_yaxes(title="power", range=[0, 1.05])
    label = "Chance that the test rejects a text drawn at another temperature; dashed, 0.8"
    columns = {"custom": ["total variation"]}
    return finish(figure, HEIGHT, "audit-powers", label, columns=columns)
