"""What the offline page has of each kind of run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tokenarium.backend import (
    AblateResult,
    AttributeResult,
    AuditResult,
    CacheResult,
    DecodeResult,
    EditResult,
    ImportResult,
    JudgeResult,
    PatchResult,
    ReduceRequest,
    ReduceResult,
    Run,
    SpeculationResult,
    SweepResult,
    TraceResult,
    UserError,
)
from tokenarium.ui.components.ablation import ablation_sentence
from tokenarium.ui.components.attribution import attribution_sentence
from tokenarium.ui.components.cache_verdict import cache_sentence
from tokenarium.ui.components.decode_card import decode_sentence
from tokenarium.ui.components.edited import edited_sentence
from tokenarium.ui.components.judged_table import judged_sentence
from tokenarium.ui.components.patching import patch_sentence
from tokenarium.ui.components.reduction import reduction_sentence
from tokenarium.ui.components.sentence import sentence
from tokenarium.ui.components.speculate_tables import speculate_sentence
from tokenarium.ui.figures import catalogue
from tokenarium.ui.offline import audit, cache, decode, speculate, texts, trace
from tokenarium.ui.offline.about import header
from tokenarium.ui.offline.part import Part, figure_part
from tokenarium.ui.text import escape
from tokenarium.ui.why.number import unmarked

Views = Mapping[str, Callable[[], list[Part]]]


@dataclass(frozen=True)
class Offline:
    """A run as the page is made of it."""

    views: Views
    state: Mapping[str, Any] = field(default_factory=dict)
    """What is chosen at first, and how many of each there are."""
    arrows: str = "token"
    """What the arrow keys go through."""
    layers: int = 0
    trees: Sequence[Any] = ()
    """Of a run that guesses ahead, every round's."""
    steps: Mapping[str, Any] = field(default_factory=dict)
    """Of a run by several strategies, the card of every step by lane and step."""

    def header(self, run: Run) -> str:
        """Return the heading with the sentence of the kind."""
        return header(run, unmarked(_sentence(run)))


def offline(run: Run, layers: Sequence[int] | None = None) -> Offline:
    """Return what the page has of a run.

    Args:
        run: of any kind.
        layers: whose heads are in it; None for all.

    Raises:
        UserError: if there is no such layer.
    """
    result, figures = run.result, partial(_figures, run)
    if isinstance(result, TraceResult):
        chosen = _within(layers, result.layers)
        others = figures(without=("heads", "attention", "received"))
        views = {**trace.views(run, chosen), **others}
        return Offline(views, trace.state(run, chosen), layers=result.layers)
    if isinstance(result, CacheResult):
        chosen = _within(layers, result.evicted_at.shape[1])
        return Offline(
            cache.views(run, chosen), cache.state(run, chosen), "step", result.evicted_at.shape[1]
        )
    if isinstance(result, SpeculationResult):
        views = {**speculate.views(run), **figures()}
        return Offline(views, speculate.state(run), "round", trees=speculate.trees(run))
    if isinstance(result, DecodeResult):
        views = {**decode.views(run), **figures()}
        return Offline(views, decode.state(run), "step", steps=decode.answers(run))
    if isinstance(result, AttributeResult):
        return Offline({**texts.attributed(run), **figures()})
    if isinstance(result, JudgeResult):
        return Offline({**texts.judged(run), **figures()})
    if isinstance(result, AuditResult | ImportResult):
        return Offline(audit.views(run))
    return Offline(figures())


def _within(layers: Sequence[int] | None, count: int) -> list[int]:
    chosen = list(range(count)) if layers is None else sorted(set(layers))
    if not chosen or chosen[0] < 0 or chosen[-1] >= count:
        raise UserError(f"layers={layers}: choose from 0 to {count - 1}")
    return chosen


def _figures(run: Run, without: Sequence[str] = ()) -> dict[str, Callable[[], list[Part]]]:
    """Return the figures of the catalogue, each as a view; those with nothing to draw are none."""
    names = [name for name in catalogue.names(run) if name not in without]
    return {name: partial(_figure, run, name) for name in names}


def _figure(run: Run, name: str) -> list[Part]:
    try:
        drawn = catalogue.figure(run, name)
    except catalogue.NothingToDrawError:
        return []
    label = str(drawn.layout.meta["label"])
    drawn.update_layout(title=None, margin={"t": 8})
    return [figure_part(name, label.partition(";")[0], "", drawn)]


_SENTENCES: Mapping[type, Callable[[Any], str]] = {
    DecodeResult: decode_sentence,
    EditResult: edited_sentence,
    AttributeResult: attribution_sentence,
    AblateResult: ablation_sentence,
    JudgeResult: judged_sentence,
}


def _sentence(run: Run) -> str:
    result = run.result
    if isinstance(result, TraceResult):
        return sentence(result, str(getattr(run.request, "model", "")))
    if isinstance(result, CacheResult):
        return cache_sentence(result, str(getattr(run.request, "model", "")))
    if isinstance(result, SpeculationResult):
        return speculate_sentence(result, str(getattr(run.request, "model", "")))
    if isinstance(result, AuditResult | ImportResult):
        return audit.sentence(run)
    if isinstance(result, PatchResult):
        return patch_sentence(result, str(getattr(run.request, "into", "")))
    if isinstance(result, ReduceResult):
        assert isinstance(run.request, ReduceRequest)
        return reduction_sentence(result, run.request.reduction.slug)
    if type(result) in _SENTENCES:
        return _SENTENCES[type(result)](result)
    if isinstance(result, SweepResult) and result.verdict:
        said = f"{result.verdict[0].upper()}{result.verdict[1:]}."
        return f'<p class="tk-sentence">{escape(said)}</p>'
    return ""
