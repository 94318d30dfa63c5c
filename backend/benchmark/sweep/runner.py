"""Run a sweep point by point; what was finished before in this process is not done again."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tokenarium.backend.benchmark.conversation import asks_in_turns
from tokenarium.backend.benchmark.evaluation import full_reading
from tokenarium.backend.benchmark.recall import MOST_BYTES
from tokenarium.backend.benchmark.sweep.cell import Cell, Trials
from tokenarium.backend.benchmark.sweep.exercises import exercises
from tokenarium.backend.benchmark.sweep.parts import MeasuredPoint, grid, refuse_nothing_measured
from tokenarium.backend.benchmark.sweep.request import SweepRequest
from tokenarium.backend.benchmark.sweep.result import Point, SweepResult
from tokenarium.backend.cache.request import PolicySpec
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.events import CancelToken, ChildRun, Event
from tokenarium.backend.runs.progress import ProgressReporter

MOST_CELLS = 4_096


class FinishedCells:
    """Finished points by what they depend on; the least recently used go first. Thread-safe."""

    def __init__(self, most: int = MOST_CELLS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._cells: OrderedDict[str, Cell] = OrderedDict()

    def get(self, key: str) -> Cell | None:
        """Return a point, or None if it was not computed or has gone."""
        with self._lock:
            cell = self._cells.get(key)
            if cell is not None:
                self._cells.move_to_end(key)
            return cell

    def put(self, key: str, cell: Cell) -> None:
        """Keep a point."""
        with self._lock:
            self._cells[key] = cell
            self._cells.move_to_end(key)
            while len(self._cells) > self._most:
                self._cells.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._cells.clear()


FINISHED = FinishedCells()
"""One for the process."""
_last_trials: dict[str, Trials] = {}
"""Of a worker, which measures points one by one: the exercises of its last one's depth."""


def sweep(
    request: SweepRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> SweepResult:
    """Try every policy at every budget and depth.

    The full cache comes first, at every depth: whether the model can do the task at all is known,
    and said, before any policy is tried. Points that were finished in this process are taken as
    they are, with the times measured then.

    Args:
        limit: most tokens of a prompt with its answer.
        emit: receives progress, and after each point all that is known.
        cancel: checked in every layer.
    Raises: ValueError where an exercise does not fit the model, or no policy can work; Cancelled.
    """
    cancel.check()
    points = list(grid(request))
    under_way = _Sweep(request, loaded, limit, points)
    under_way.progress = ProgressReporter(emit, cancel, under_way.result)
    done = under_way.done
    depths = dict.fromkeys(point.depth for point in points)
    for depth in depths:
        under_way.measure([point for point in points if point.depth == depth and not point.policy])
    under_way.report_verdict()
    for depth in depths:
        under_way.measure([point for point in points if point.depth == depth and point.policy])
    refuse_nothing_measured(done)
    return under_way.result()


def measured_point(
    request: SweepRequest,
    point: Point,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> MeasuredPoint:
    """Try one policy at one budget and depth; exercises of the depth before are taken again.

    Args:
        limit: most tokens of a prompt with its answer.
        emit: receives progress, and the first exercise as a run of its own.
        cancel: checked in every layer.
    Raises: ValueError where an exercise does not fit the model; Cancelled.
    """
    cancel.check()
    under_way = _Sweep(request, loaded, limit, [point])
    under_way.progress = ProgressReporter(emit, cancel)
    key = _cell_key(request, loaded, PolicySpec(slug="full"), 1.0, point.depth)
    if (known := _last_trials.get(key)) is not None:
        under_way.trials[point.depth] = replace(known, check=cancel.check)
    under_way.measure([point])
    if point.depth in under_way.trials:
        _last_trials.clear()
        _last_trials[key] = under_way.trials[point.depth]
    task = request.chosen_task
    chat = task is not None and asks_in_turns(loaded, request.chat_template, task.in_chat)
    return MeasuredPoint(under_way.done[point], chat, loaded.context)


@dataclass
class _Sweep:
    """A sweep under way."""

    request: SweepRequest
    loaded: LoadedModel
    limit: int
    points: list[Point]
    progress: ProgressReporter = field(init=False)
    done: dict[Point, Cell] = field(default_factory=dict)
    trials: dict[float | None, Trials] = field(default_factory=dict)
    """By depth: its points share exercises, and what the full model makes of them."""

    def measure(self, points: list[Point]) -> None:
        """Measure points of the grid."""
        for point in points:
            spec = self.request.tried[point.policy]
            key = _cell_key(self.request, self.loaded, spec, point.ratio, point.depth)
            cell = FINISHED.get(key)
            if cell is None:
                cell = self._measure(self._trials(point.depth), spec, point)
                FINISHED.put(key, cell)
                self.done[point] = cell
                self.progress.show()
            self.done[point] = cell
            self.progress.cancel.check()

    def report_verdict(self) -> None:
        """Say whether the model can do the task, where that can be said."""
        verdict = self.result().verdict
        if verdict:
            said = f"Full cache alone: {verdict}"
            self.progress.report(said, len(self.done), len(self.points), partial=False)

    def result(self) -> SweepResult:
        """Return what is known so far."""
        task = self.request.chosen_task
        chat = task is not None and asks_in_turns(
            self.loaded, self.request.chat_template, task.in_chat
        )
        context = self.loaded.context
        return SweepResult.of(self.request, self.points, self.done, chat=chat, context=context)

    def _trials(self, depth: float | None) -> Trials:
        if depth not in self.trials:
            self.trials[depth] = self._made(depth)
        return self.trials[depth]

    def _made(self, depth: float | None) -> Trials:
        request, check = self.request, self.progress.cancel.check
        made = exercises(request, self.loaded, self.limit, depth, check)
        most = MOST_BYTES // len(made)
        full = [full_reading(self.loaded, each, check, most) for each in made]
        return Trials(self.loaded, made, full, request.seed, request.query_aware, check)

    def _measure(self, trials: Trials, spec: PolicySpec, point: Point) -> Cell:
        doing = _words(spec, point, len(trials.exercises))

        def step(trial: int) -> None:
            text = doing.format(trial=trial + 1)
            self.progress.report(text, len(self.done), len(self.points), partial=False)

        def followed(result: CacheResult, took_ms: float) -> None:
            child = self.request.point(point.policy, point.ratio, point.depth)
            self.progress.emit(ChildRun(child, result, took_ms))

        return trials.measure(spec.policy, point.ratio, step, followed)


def _words(spec: PolicySpec, point: Point, trials: int) -> str:
    """Return what is being done, with a place for the number of the trial."""
    title = spec.policy.recipe_title.replace("{", "{{").replace("}", "}}")
    kept = "" if spec.policy.keeps_all else f" at {point.ratio:.3g} of the prompt"
    where = "" if point.depth is None else f", depth {point.depth:.3g}"
    return f"{title}{kept}{where}: trial {{trial}} of {trials}"


def _cell_key(
    request: SweepRequest, loaded: LoadedModel, spec: PolicySpec, ratio: float, depth: float | None
) -> str:
    """Return the identity of one point: all that its numbers depend on."""
    shared = request.model_dump(mode="json", exclude={"policies", "budgets", "depths"})
    machine = [loaded.fingerprint, str(loaded.dtype), str(loaded.device)]
    content = [shared, machine, spec.model_dump(mode="json"), ratio, depth]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
