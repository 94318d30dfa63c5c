"""The run that another is compared with: the one that was chosen, else the newest of its model."""

from collections.abc import Iterator
from dataclasses import dataclass

from tokenarium.backend import Lab, Run, TraceResult, UserError
from tokenarium.ui.characters import written
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.text import one_line

OTHER = "other_run"
NEWEST = "newest other run of this model"
"""What is compared with where nothing is chosen; the next run of the model takes its place."""
MOST = 8
"""Stored runs of a model that are looked at before none is said to fit."""


@dataclass(frozen=True)
class Other:
    """A trace to compare with, if there is any."""

    run: Run | None = None
    refused: str = ""
    """Why the run that was chosen is not it, as a sentence."""
    newest: bool = False
    """Whether it is the newest one of the model: what is taken where none is chosen."""

    @property
    def result(self) -> TraceResult | None:
        """What was measured."""
        found = self.run.result if self.run else None
        return found if isinstance(found, TraceResult) else None

    @property
    def name(self) -> str:
        """What to call it: how its text begins."""
        return "" if self.result is None else name_of(self.result)


def other_run(lab: Lab, scene: TraceScene) -> Other:
    """Return the run to compare with.

    The one that was chosen is taken if its heads can be paired with those of the run that is
    shown. Else the newest stored run of the same model is, whatever was chosen for another model.
    """
    chosen = scene.settings.get(OTHER)
    refused = ""
    if isinstance(chosen, str) and chosen == scene.chosen.run:
        refused = "The run that was chosen is the one that is shown: here is the newest other."
    elif isinstance(chosen, str) and chosen:
        run = _opened(lab, scene, chosen)
        if run is not None and _fits(run, scene):
            return Other(run, newest=run.id == next(_names(lab, scene), ""))
        refused = _refusal(run)
    newest = next(_of_model(lab, scene), None)
    return Other(newest, refused, newest is not None)


def name_of(result: TraceResult) -> str:
    """Return what a run is called on axes and in sentences: how its text begins."""
    texts = written(result.token_text)
    words = "".join(texts[1:8] if result.special[0] else texts[:7])
    return f"“{one_line(words).strip()[:24]}…”"


def _of_model(lab: Lab, scene: TraceScene) -> Iterator[Run]:
    for run_id in _names(lab, scene):
        run = _opened(lab, scene, run_id)
        if run is not None and _fits(run, scene):
            yield run


def _names(lab: Lab, scene: TraceScene) -> Iterator[str]:
    """Yield ids of other stored runs of the model, the newest first."""
    model = scene.request.model
    records = lab.search(visitor=scene.visitor, kind="trace", model=model, limit=MOST)
    yield from (r.id for r in records if r.id != scene.chosen.run and r.model == model)


def _opened(lab: Lab, scene: TraceScene, run_id: str) -> Run | None:
    try:
        return lab.open(run_id, visitor=scene.visitor)
    except UserError:
        return None  # deleted since it was chosen


def _fits(run: Run, scene: TraceScene) -> bool:
    found, here = run.result, scene.result
    return isinstance(found, TraceResult) and found.sink_score.shape == here.sink_score.shape


def _refusal(run: Run | None) -> str:
    if run is None:
        return "The run that was chosen is not stored any more."
    if not isinstance(run.result, TraceResult):
        return f"The run that was chosen is a {run.request.kind}, not a trace."
    return (
        f"{name_of(run.result)} has {run.result.layers} layers of {run.result.heads} heads: they "
        "cannot be paired with the heads of this model."
    )
