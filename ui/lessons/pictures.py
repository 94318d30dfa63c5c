"""Pictures of a step for paper: plain HTML and SVG made of the run, without any script."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend import (
    CacheResult,
    DecodedLane,
    DecodeResult,
    PolicyRun,
    SpeculationResult,
    SweepResult,
    TraceResult,
    accumulated_mass,
    coverage,
)
from tokenarium.ui.characters import named
from tokenarium.ui.components.colouring import COLOURINGS
from tokenarium.ui.lessons.lesson import Step
from tokenarium.ui.lessons.seen import Seen
from tokenarium.ui.text import escape, one_line

CELL = (34, 15)
"""Width and height of a cell of the grid, in pixels."""
GRIDS: dict[str, tuple[str, Callable[[TraceResult], NDArray[np.floating]]]] = {
    "plot-sink_grid": ("Share of attention to the first token", lambda r: r.sink_score),
    "sinks-said": ("Share of attention to the first token", lambda r: r.sink_score),
    "plot-coverage_grid": (
        "Share of the tokens that hold 90% of the attention",
        lambda r: coverage(accumulated_mass(r, 1.0), (0.9,))[..., 0],
    ),
}
"""By the part of the page that a step is about: the numbers of every head."""


def picture(seen: Seen, step: Step) -> str:
    """Return what a step is about, as HTML."""
    if step.look == "table-sweep":
        return _sweep(seen.sweep)
    result = seen.run.result
    if isinstance(result, TraceResult):
        if step.look == "plot-sink_norms":
            return _strip(seen, "value")
        if step.look in GRIDS:
            title, numbers = GRIDS[step.look]
            return _grid(title, numbers(result))
        return _strip(seen, step.state.get("metric", "share"))
    if isinstance(result, DecodeResult):
        return "".join(map(_written, result.lanes))
    if isinstance(result, CacheResult):
        return "".join(_lane(seen, run) for run in result.runs)
    assert isinstance(result, SpeculationResult)
    return _round(seen, result)


def _strip(seen: Seen, metric: str) -> str:
    colouring, place = COLOURINGS[metric], seen.chosen
    values = np.array(colouring.values(seen.trace, place.layer, place.head), float)
    unit = colouring.described(seen.trace)["unit"]
    tokens = _tokens(named(seen.trace.token_text), values)
    about = f"{escape(colouring.title)}{f' ({escape(unit)})' if unit else ''}"
    return f'<p class="what">Every token, and its {about}:</p><p class="strip">{tokens}</p>'


def _tokens(texts: Sequence[str], values: NDArray[np.floating]) -> str:
    low, high = np.nanmin(values), np.nanmax(values)
    return "".join(
        f'<span class="token" style="background: rgb(245 158 11 / {_ink(value, low, high):.2f})">'
        f"{escape(one_line(text))}<sub>{'' if np.isnan(value) else f'{value:.2g}'}</sub></span> "
        for text, value in zip(texts, values.tolist(), strict=True)
    )


def _written(lane: DecodedLane) -> str:
    tokens = _tokens(named(lane.token_text), lane.entropy_nats)
    about = f"{escape(lane.title)}: every token, and the entropy before it (nats)"
    return f'<p class="what">{about}:</p><p class="strip">{tokens}</p>'


def _ink(value: float, low: float, high: float) -> float:
    return 0.0 if np.isnan(value) or high <= low else float((value - low) / (high - low))


def _grid(title: str, numbers: NDArray[np.floating]) -> str:
    layers, heads = numbers.shape
    wide, tall = CELL
    cells = "".join(
        f'<rect x="{40 + h * wide}" y="{16 + n * tall}" width="{wide}" height="{tall}" '
        f'fill="#f59e0b" fill-opacity="{min(1.0, float(numbers[n, h])):.2f}"/>'
        f'<text x="{40 + h * wide + wide / 2}" y="{27 + n * tall}">{numbers[n, h]:.2f}</text>'
        for n in range(layers)
        for h in range(heads)
        if np.isfinite(numbers[n, h])
    )
    rows = "".join(f'<text x="20" y="{27 + n * tall}">{n}</text>' for n in range(layers))
    columns = "".join(
        f'<text x="{40 + h * wide + wide / 2}" y="11">{h}</text>' for h in range(heads)
    )
    return (
        f'<p class="what">{escape(title)}; rows are layers, columns heads:</p>'
        f'<svg viewBox="0 0 {44 + heads * wide} {20 + layers * tall}" role="img" '
        f'aria-label="{escape(title)}">{cells}{rows}{columns}</svg>'
    )


def _lane(seen: Seen, run: PolicyRun) -> str:
    place, result = seen.chosen, seen.cache
    kept = set(run.kept(place.step, place.layer, place.head).tolist())
    texts = [*result.prompt_text, *result.token_text[run.number][: place.step]]
    tokens = "".join(
        f"<span>{escape(one_line(text))}</span>"
        if at in kept
        else f"<s>{escape(one_line(text))}</s>"
        for at, text in enumerate(named(texts))
    )
    kl, lost = np.nanmean(run.kl_nats), np.nanmean(result.lost_mass[run.number])
    return (
        f'<p class="what">{escape(result.titles[run.number])}: holds '
        f"{run.cache_bytes[-1] / 2**20:.2f} MiB at the end, changes the predictions by {kl:.3f} "
        f"nats, loses {lost:.0%} of the attention. Layer {place.layer}, KV head {place.head}, step "
        f'{place.step}; struck out is dropped:</p><p class="strip">{tokens}</p>'
    )


def _round(seen: Seen, result: SpeculationResult) -> str:
    nodes = result.nodes[result.nodes["round"] == seen.round]
    rows = "".join(
        f"<tr><td>{escape(one_line(str(node['text'])))}</td>"
        f"<td>{escape(str(node['status']).replace('_', ' '))}</td>"
        f"<td>{escape(str(node['reason']))}</td></tr>"
        for node in nodes
    )
    stayed = [int(count) for count in result.accepted_in_text]
    often = ", ".join(f"{stayed.count(n)} with {n}" for n in sorted(set(stayed)))
    return (
        f'<p class="what">{len(result.token_ids)} tokens in {len(result.rounds)} rounds '
        f"({often} guesses that stayed). Pace: {result.tokens_per_s:.1f} tokens a second; the "
        f"large model alone {result.plain_tokens_per_s:.1f}. Round {seen.round + 1}:</p>"
        f"<table><tr><th>token</th><th>what became of it</th><th>why</th></tr>{rows}</table>"
    )


def _sweep(result: SweepResult) -> str:
    rows = "".join(
        f"<tr><td>{escape(result.titles[result.policy[n]])}</td><td>{result.ratio[n]:.0%}</td>"
        f"<td>{result.correct[n]} of {result.trials[n]}</td><td>{result.accuracy[n]:.2f} "
        f"({result.accuracy_low[n]:.2f} to {result.accuracy_high[n]:.2f})</td></tr>"
        for n in range(len(result.policy))
        if not result.refused[n]
    )
    heads = "<tr><th>policy</th><th>budget</th><th>right</th><th>accuracy (interval)</th></tr>"
    return f"<table>{heads}{rows}</table>"
