"""Every figure as a function of a run, made from the catalogue: ``figures.sinks(run)``."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from plotly.graph_objects import Figure

from tokenarium.backend import COVERAGE_SHARES, QUALITY_MEASURES, Run
from tokenarium.ui.figures import heads
from tokenarium.ui.figures.catalogue import FIGURES, figure

CHOICES: Mapping[str, str] = {
    "layer": "number of the layer; where None, that of the strongest sink (of the chosen head)",
    "head": "number of the head, under policies of the KV head; where None, the strongest sink (of "
    "the chosen layer)",
    "threshold": "attention to the first token above which a head counts as a sink, 0 to 1",
    "length": "tokens that the scores are of, from the first; None for all that were measured",
    "metric": "what every head is coloured by: " + ", ".join(heads.METRICS),
    "share": "of all attention, which the counted tokens hold: "
    + ", ".join(map(str, COVERAGE_SHARES)),
    "policy": "slug of a policy of the run; empty for the last one",
    "step": "decode step, from 0, right after the prompt",
    "measure": "of quality: " + ", ".join(QUALITY_MEASURES),
    "judged_by": "slug of a measure of a judged text; empty for the first that was asked for",
    "against": "bytes (of the cache) or ms (per token)",
}
"""By name, what the parameters of figures are."""


def slugs() -> tuple[str, ...]:
    """Return the names of all figures, in the order of the alphabet."""
    return tuple(sorted({name for figures in FIGURES.values() for name in figures}))


@cache
def function(slug: str) -> Callable[..., Figure]:
    """Return what draws a figure; its docstring lists what can be chosen.

    Raises:
        KeyError: if no kind of run has such a figure.
    """
    draws = {kind: figures[slug] for kind, figures in FIGURES.items() if slug in figures}
    if not draws:
        raise KeyError(slug)

    def drawn(run: Run, **choices: Any) -> Figure:
        return figure(run, slug, **choices)

    known: dict[str, inspect.Parameter] = {}
    for draw in draws.values():
        known |= dict(list(inspect.signature(draw).parameters.items())[1:])
    of_run = inspect.Parameter("run", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Run)
    chosen = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in known.values()]
    drawn.__name__ = drawn.__qualname__ = slug
    drawn.__signature__ = inspect.Signature([of_run, *chosen], return_annotation=Figure)  # type: ignore[attr-defined]
    drawn.__doc__ = _documented(draws, known)
    return drawn


def _documented(
    draws: Mapping[str, Callable[..., Any]], known: Mapping[str, inspect.Parameter]
) -> str:
    said = {kind: (draw.__doc__ or "").strip().partition("\n")[0] for kind, draw in draws.items()}
    first, *others = (
        sentence if len(said) == 1 else f"Of a {kind} run: {sentence}"
        for kind, sentence in said.items()
    )
    args = [f"    run: of kind {' or '.join(draws)}."]
    args += [f"    {name}: {CHOICES[name]} (default {p.default!r})." for name, p in known.items()]
    return "\n".join(
        (first, *others, "", "Args:", *args, "", "Returns: a ``plotly.graph_objects.Figure``.")
    )
