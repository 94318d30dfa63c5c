"""Run a sweep point by point; what was finished before in this process is not done again."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tokenarium.backend.benchmark.evaluation import full_states
from tokenarium.backend.benchmark.sweep.cell import Cell, Trials
from tokenarium.backend.benchmark.sweep.exercises import exercises
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


def sweep(
    request: SweepRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> SweepResult:
    """Try every policy at every budget and depth.

    Points that were finished in this process are taken as they are, with the times measured then.

    Args:
        limit: most tokens of a prompt with its answer.
        emit: receives progress, and after each point all that is known.
        cancel: checked in every layer.
    Raises: ValueError where an exercise does not fit the model, or no policy can work; Cancelled.
    """
    cancel.check()
    points = list(grid(request))
    done: dict[Point, Cell] = {}
    progress = ProgressReporter(emit, cancel, lambda: SweepResult.of(request, points, done))
    under_way = _Sweep(request, loaded, limit, points, progress, done)
    for depth in dict.fromkeys(point.depth for point in points):
        under_way.measure_depth(depth)
    if all(cell.refused for point, cell in done.items() if point.policy):
        reasons = [cell.refused for cell in done.values() if cell.refused]
        if reasons:
            raise ValueError(reasons[0])
    return SweepResult.of(request, points, done)


def grid(request: SweepRequest) -> Iterator[Point]:
    """Yield all points, by policy, budget and depth; what keeps everything has one budget."""
    task = request.chosen_task
    depths = request.depths if task is not None and task.has_depth else (None,)
    for number, spec in enumerate(request.tried):
        ratios = (1.0,) if spec.policy.label == "nothing" else request.budgets
        for ratio in ratios:
            for depth in depths:
                yield Point(number, ratio, depth)


@dataclass
class _Sweep:
    """A sweep under way."""

    request: SweepRequest
    loaded: LoadedModel
    limit: int
    points: list[Point]
    progress: ProgressReporter
    done: dict[Point, Cell]

    def measure_depth(self, depth: float | None) -> None:
        """Measure all points of a depth: they share exercises, and what the full model makes."""
        trials = None
        for point in self.points:
            if point.depth != depth:
                continue
            spec = self.request.tried[point.policy]
            key = _cell_key(self.request, self.loaded, spec, point.ratio, depth)
            cell = FINISHED.get(key)
            if cell is None:
                trials = trials or self._trials(depth)
                cell = self._measure(trials, spec, point)
                FINISHED.put(key, cell)
                self.done[point] = cell
                self.progress.show()
            self.done[point] = cell
            self.progress.cancel.check()

    def _trials(self, depth: float | None) -> Trials:
        request, check = self.request, self.progress.cancel.check
        made = exercises(request, self.loaded, self.limit, depth, check)
        states = [full_states(self.loaded, each, check) for each in made]
        return Trials(self.loaded, made, states, request.seed, request.query_aware, check)

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
    title = spec.policy.title.replace("{", "{{").replace("}", "}}")
    kept = "" if spec.policy.label == "nothing" else f" at {point.ratio:.3g} of the prompt"
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
