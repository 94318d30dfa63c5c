"""Figures of a run by name, outside the page: ``run.figure("sinks")``."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from plotly import graph_objects as go

from tokenarium.backend import (
    QUALITY_MEASURES,
    AblateResult,
    AttributeResult,
    AuditResult,
    CacheRequest,
    CacheResult,
    DecodeResult,
    EditResult,
    ImportResult,
    JudgeResult,
    PatchResult,
    PolicyRun,
    ReduceResult,
    Run,
    SpeculationResult,
    SweepResult,
    TraceResult,
    UserError,
    protected,
)
from tokenarium.ui.characters import named
from tokenarium.ui.figures import (
    attention,
    audit,
    eviction,
    grouping,
    heads,
    heavy,
    lines,
    sinks,
    tradeoff,
)
from tokenarium.ui.figures.ablation import head_check, head_falls, part_falls
from tokenarium.ui.figures.attribution import check_strip, score_bars
from tokenarium.ui.figures.decoding import scatter
from tokenarium.ui.figures.editing import cost_of_edit, errors_of_edit
from tokenarium.ui.figures.imports import by_place
from tokenarium.ui.figures.judging import judged_line
from tokenarium.ui.figures.patching import TITLES, patched_cells
from tokenarium.ui.figures.reduction import cut_where, loss_by_cost
from tokenarium.ui.figures.speculation import NAMES, figures
from tokenarium.ui.text import one_line


class NothingToDrawError(UserError):
    """A run has no numbers for a figure that its kind has."""


Draw = Callable[..., go.Figure | None]
THRESHOLD = 0.3
"""Attention to the first token above which a head counts as a sink, as on the page."""


def _strongest(result: TraceResult, layer: int | None, head: int | None) -> tuple[int, int]:
    """Return layer and head, in place of what is None the strongest sink's."""
    scores = result.sink_score
    chosen = scores if layer is None else scores[layer : layer + 1]
    if head is not None:
        return (int(np.nanargmax(chosen[:, head])) if layer is None else layer), head
    row, column = np.unravel_index(int(np.nanargmax(chosen)), chosen.shape)
    return (int(row) if layer is None else layer), int(column)


def _of_head(draw: Callable[..., go.Figure]) -> Draw:
    def drawn(run: Run, layer: int | None = None, head: int | None = None) -> go.Figure:
        return draw(run.result, *_strongest(_traced(run), layer, head))

    drawn.__doc__ = draw.__doc__
    return drawn


def _whole(draw: Callable[..., go.Figure]) -> Draw:
    def drawn(run: Run) -> go.Figure:
        return draw(run.result)

    drawn.__doc__ = draw.__doc__
    return drawn


def _sinks(run: Run, threshold: float = THRESHOLD, length: int | None = None) -> go.Figure:
    """Draw the sink score of every head; an outline marks each above the threshold."""
    return sinks.sink_grid(_traced(run), threshold, length)


def _heads(run: Run, metric: str = "sink") -> go.Figure:
    """Draw one number for every head, such as its sink score."""
    result = _traced(run)
    return heads.head_grid(result, _one_of("metric", metric, heads.metrics_of(result)))


def _coverage(run: Run, share: float = 0.95) -> go.Figure:
    """Draw for every head how few tokens hold a share of its attention."""
    return heavy.coverage_grid(_traced(run), share)


def _held(run: Run, policy: str = "", layer: int = 0, head: int = 0) -> go.Figure:
    """Draw why each token is held or gone after every step, in one KV head under one policy."""
    assert isinstance(run.result, CacheResult)
    assert isinstance(run.request, CacheRequest)
    found, result = _policy(run, policy), run.result
    layers = result.evicted_at.shape[1]
    asked = run.request.policies[found.number].policy
    own = protected(asked, result.budget_tokens, layers, layer, len(result.prompt_ids))
    return eviction.held_map(found, own, layer, head)


def _scores(
    run: Run, policy: str = "", step: int = 0, layer: int = 0, head: int = 0
) -> go.Figure | None:
    """Draw how a policy scored the text at its last recorded choice, with the threshold."""
    return eviction.scores(_policy(run, policy), step, layer, head)


def _search(
    run: Run, policy: str = "", step: int = 0, layer: int = 0, head: int = 0
) -> go.Figure | None:
    """Draw what a policy that searches looked at, level by level, to find what a step reads."""
    return grouping.search_tree(_policy(run, policy), step, layer, head)


def _likeness(run: Run, policy: str = "") -> go.Figure | None:
    """Draw how alike neighbouring layers are, of a policy that lets them share entries."""
    return grouping.likeness_bars(_policy(run, policy))


def _policy(run: Run, policy: str) -> PolicyRun:
    """Return the run of a policy, the last one's where none is named."""
    assert isinstance(run.result, CacheResult)
    runs = {each.policy: each for each in run.result.runs}
    return runs[_one_of("policy", policy or run.result.runs[-1].policy, runs)]


def _tradeoff(run: Run, measure: str = "kl", against: str = "bytes") -> go.Figure:
    """Draw quality against the size of the cache, a line for every policy."""
    assert isinstance(run.result, SweepResult)
    _one_of("against", against, ("bytes", "ms"))
    chosen = _one_of("measure", measure, QUALITY_MEASURES)
    return tradeoff.tradeoff(run.result, chosen, against)


GUESSES = {
    "by_depth": "Draw how often guesses were accepted, by their depth in the tree.",
    "by_rank": "Draw how often guesses were accepted, by rank among the siblings.",
    "expected": "Draw how often guesses were accepted against what was expected of them.",
    "by_entropy": "Draw how often guesses were accepted, by how unsure the draft was.",
    "fates": "Draw what became of all guesses.",
    "verify": "Draw the time of a pass of the target against how many tokens it read.",
    "time": "Draw where the time of a new token goes, beside autoregressive decoding.",
    "exits": "Draw how often each exit would have said the text, and what drafting there promises.",
}
"""What figures of a speculative run show."""


def _guessed(name: str) -> Draw:
    def drawn(run: Run) -> go.Figure | None:
        assert isinstance(run.result, SpeculationResult)
        return figures(run.result)[name]

    drawn.__doc__ = GUESSES[name]
    return drawn


def _unsure(run: Run) -> go.Figure | None:
    """Draw every step of every lane by entropy and varentropy, thresholds as lines."""
    assert isinstance(run.result, DecodeResult)
    return scatter(run.result)


def _units(run: Run) -> go.Figure:
    """Draw the units with the largest scores, with intervals where they were sampled."""
    assert isinstance(run.result, AttributeResult)
    return score_bars(run.result)


def _check(run: Run) -> go.Figure:
    """Draw what deleting the highest units does, beside as many at random."""
    assert isinstance(run.result, AttributeResult)
    return check_strip(run.result)


def _patched(site: str) -> Draw:
    def drawn(run: Run) -> go.Figure:
        assert isinstance(run.result, PatchResult)
        return patched_cells(run.result, site)

    drawn.__doc__ = f"Draw what each cell of layer and word recovers: {TITLES[site].lower()}."
    return drawn


def _cut_out(draw: Callable[[AblateResult], go.Figure]) -> Draw:
    def drawn(run: Run) -> go.Figure:
        assert isinstance(run.result, AblateResult)
        return draw(run.result)

    drawn.__doc__ = draw.__doc__
    return drawn


def _judged(run: Run, judged_by: str = "") -> go.Figure:
    """Draw what a measure says of every token, and the tokens that decide."""
    assert isinstance(run.result, JudgeResult)
    asked = run.result.measures
    chosen = _one_of("judged_by", judged_by or asked[0], asked)
    return judged_line(run.result, chosen, named(run.result.token_text))


def _cost_of_edit(run: Run) -> go.Figure:
    """Draw how far every cache is from reading the edited prompt anew, by token."""
    assert isinstance(run.result, EditResult)
    return cost_of_edit(run.result)


def _errors_of_edit(run: Run) -> go.Figure | None:
    """Draw how far kept keys and values are from those read anew, by layer."""
    assert isinstance(run.result, EditResult)
    return errors_of_edit(run.result)


def _reduced(draw: Callable[[ReduceResult], go.Figure]) -> Draw:
    def drawn(run: Run) -> go.Figure:
        assert isinstance(run.result, ReduceResult)
        return draw(run.result)

    drawn.__doc__ = draw.__doc__
    return drawn


def _audited(name: str) -> Draw:
    def drawn(run: Run) -> go.Figure | None:
        assert isinstance(run.result, AuditResult)
        return audit.figures(run.result)[name]

    drawn.__doc__ = AUDITS[name]
    return drawn


AUDITS = {
    "gaps": "Draw how far each token is behind the likeliest, with the tolerance.",
    "ranks": "Draw how evenly the ranks of drawn tokens are spread.",
    "powers": "Draw how surely another temperature would have been found.",
}
"""What figures of an audit show."""


def _by_place(run: Run) -> go.Figure | None:
    """Draw how often another engine's guesses were accepted, by their place in a round."""
    assert isinstance(run.result, ImportResult)
    return by_place(run.result)


def _traced(run: Run) -> TraceResult:
    assert isinstance(run.result, TraceResult)
    return run.result


FIGURES: Mapping[str, Mapping[str, Draw]] = {
    "trace": {
        "sinks": _sinks,
        "heads": _heads,
        "attention": _of_head(attention.attention_map),
        "received": _of_head(lines.received),
        "predictability": _whole(lines.predictability),
        "norms": _of_head(lines.norms),
        "heavy": _of_head(heavy.accumulated),
        "coverage": _coverage,
    },
    "cache": {
        "cost": _whole(eviction.cost_line),
        "lost": _whole(eviction.lost_line),
        "memory": _whole(eviction.bytes_line),
        "time": _whole(eviction.time_line),
        "held": _held,
        "scores": _scores,
        "search": _search,
        "likeness": _likeness,
    },
    "speculate": {name: _guessed(name) for name in NAMES},
    "sweep": {"tradeoff": _tradeoff},
    "edit": {"cost": _cost_of_edit, "errors": _errors_of_edit},
    "decode": {"unsure": _unsure},
    "logprobs": {"unsure": _unsure},
    "attribute": {"units": _units, "check": _check},
    "patch": {site: _patched(site) for site in TITLES},
    "ablate": {
        "heads": _cut_out(head_falls),
        "parts": _cut_out(part_falls),
        "check": _cut_out(head_check),
    },
    "reduce": {"loss": _reduced(loss_by_cost), "where": _reduced(cut_where)},
    "judge": {"judged": _judged},
    "audit": {name: _audited(name) for name in audit.NAMES},
    "import": {"by_place": _by_place},
}
"""By kind and name, what draws a run; its parameters are what can be chosen."""


def names(run: Run) -> tuple[str, ...]:
    """Return the names of the figures of a run's kind."""
    return tuple(FIGURES.get(run.request.kind, ()))


def figure(run: Run, name: str, **choices: Any) -> go.Figure:
    """Return a figure of a run, with its title.

    Raises:
        UserError: naming the figures or choices there are, or that the run has nothing to draw.
    """
    draw = FIGURES.get(run.request.kind, {}).get(name)
    if draw is None:
        there = ", ".join(names(run)) or "none"
        raise UserError(f"figure={name!r}: a run of kind {run.request.kind} has {there}")
    known = list(inspect.signature(draw).parameters)[1:]
    for choice in choices:
        if choice not in known:
            there = ", ".join(known) or "nothing to choose"
            raise UserError(f"{choice}={choices[choice]!r}: figure {name!r} has {there}")
    try:
        found = draw(run, **choices)
    except (IndexError, TypeError, ValueError) as error:
        raise UserError(f"figure {name!r} cannot be drawn with {choices}: {error}") from error
    if found is None:
        raise NothingToDrawError(f"figure {name!r}: this run has nothing to draw in it")
    said = str(found.layout.meta["label"]).partition(";")[0]
    model = getattr(run.request, "model", "")
    title = one_line(f"{said} · {model}" if model else said)
    found.update_layout(title={"text": title, "font": {"size": 13}}, margin={"t": 56})
    return found


def _one_of(name: str, value: str, known: Any) -> str:
    if value not in known:
        raise UserError(f"{name}={value!r} is unknown: choose {', '.join(known)}")
    return value
