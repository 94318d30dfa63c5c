"""Quality against bytes and against time, for every policy over its budgets."""

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import QUALITY_MEASURES, SweepResult
from tokenarium.ui.figures.definitions import defined
from tokenarium.ui.figures.eviction import COLOURS, DASHES
from tokenarium.ui.figures.style import finish
from tokenarium.ui.text import plotly_text

LINE = "#d97706"
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "x")


def tradeoff(
    result: SweepResult, measure: str, against: str, line: float | None = None
) -> go.Figure:
    """Draw one point per policy and budget, means over depths; budgets of a policy are joined.

    Args:
        measure: a name in ``QUALITY_MEASURES``.
        against: ``bytes`` or ``ms``.
        line: where quality is enough, drawn across; None for no line.
    """
    chosen = QUALITY_MEASURES[measure]
    definition = result.quantities()[chosen.field]
    x = result.cache_bytes / 2**20 if against == "bytes" else result.step_ms_p50
    y = chosen.of(result)
    figure = go.Figure()
    for number, title in enumerate(result.titles):
        ratios = sorted({float(r) for r in result.ratio[result.policy == number]})
        points = [(ratio, *_means(result, number, ratio, x, y)) for ratio in ratios]
        known = [point for point in points if point[3] >= 0]
        if not known:
            continue
        colour = COLOURS[number % len(COLOURS)]
        figure.add_trace(
            go.Scatter(
                x=[point[1] for point in known],
                y=[point[2] for point in known],
                customdata=[[f"{point[0]:.0%}", point[3]] for point in known],
                name=plotly_text(title),
                mode="lines+markers",
                line={"color": colour, "dash": DASHES[number % len(DASHES)], "width": 1.5},
                marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 9, "color": colour},
                hovertemplate=f"{plotly_text(title)}, budget %{{customdata[0]}}<br>%{{x:.3g}}, "
                f"{chosen.title} %{{y:.4g}}{defined(definition.formula)}<extra></extra>",
            )
        )
    figure.update_xaxes(title="cache (MiB)" if against == "bytes" else "ms per token, median")
    figure.update_yaxes(title=chosen.title)
    if line is not None:
        figure.add_hline(y=line, line={"color": LINE, "width": 1.5, "dash": "dash"})
        figure.update_yaxes(autorangeoptions={"include": [line]})
    label = f"{chosen.title} against {'bytes' if against == 'bytes' else 'time'}, by policy"
    name, columns = f"tradeoff-{measure}-{against}", {"custom": ["budget", "point"]}
    meta = {} if line is None else {"quality": {"line": line, "higher": chosen.higher}}
    return finish(figure, 340, name, label, opens="point", columns=columns, **meta)


def _means(
    result: SweepResult, policy: int, ratio: float, x: np.ndarray, y: np.ndarray
) -> tuple[float, float, int]:
    """Return the means over depths, and the number of the first point behind them, or -1."""
    here = (result.policy == policy) & (result.ratio == np.float32(ratio))
    usable = here & np.isfinite(x) & np.isfinite(y)
    if not usable.any():
        return float("nan"), float("nan"), -1
    return float(x[usable].mean()), float(y[usable].mean()), int(np.flatnonzero(usable)[0])
