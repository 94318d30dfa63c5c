"""Run a sweep point by point; what was finished before in this process is not done again."""

from collections.abc import Callable, Iterator

from tokenarium.backend.benchmark.evaluation import full_states
from tokenarium.backend.benchmark.sweep.cell import Cell, measure
from tokenarium.backend.benchmark.sweep.exercises import exercises
from tokenarium.backend.benchmark.sweep.finished import FINISHED, cell_key
from tokenarium.backend.benchmark.sweep.request import SweepRequest
from tokenarium.backend.benchmark.sweep.result import Point, SweepResult
from tokenarium.backend.cache.request import PolicySpec
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.events import CancelToken, ChildRun, Event, Partial, Progress


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
    for depth in dict.fromkeys(point.depth for point in points):
        _measure_depth(request, loaded, limit, points, depth, done, emit, cancel)
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


def _measure_depth(
    request: SweepRequest,
    loaded: LoadedModel,
    limit: int,
    points: list[Point],
    depth: float | None,
    done: dict[Point, Cell],
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> None:
    """Measure all points of one depth: they share exercises, and what the full model makes."""
    made = states = None
    for point in points:
        if point.depth != depth:
            continue
        spec = request.tried[point.policy]
        key = cell_key(request, loaded, spec, point.ratio, depth)
        cell = FINISHED.get(key)
        if cell is None:
            if made is None or states is None:
                made = exercises(request, loaded, limit, depth, cancel.check)
                states = [full_states(loaded, each, cancel.check) for each in made]
            doing = _words(spec, point, len(made))
            cell = measure(
                loaded,
                spec.policy,
                point.ratio,
                made,
                states,
                request.seed,
                request.query_aware,
                lambda trial, doing=doing: emit(  # type: ignore[misc]
                    Progress(doing.format(trial=trial + 1), len(done), len(points))
                ),
                cancel.check,
                lambda result, took_ms, point=point: emit(  # type: ignore[misc]
                    ChildRun(request.point(point.policy, point.ratio, point.depth), result, took_ms)
                ),
            )
            FINISHED.put(key, cell)
            done[point] = cell
            emit(Partial(SweepResult.of(request, points, done)))
        done[point] = cell
        cancel.check()


def _words(spec: PolicySpec, point: Point, trials: int) -> str:
    """Return what is being done, with a place for the number of the trial."""
    title = spec.policy.title.replace("{", "{{").replace("}", "}}")
    kept = "" if spec.policy.label == "nothing" else f" at {point.ratio:.3g} of the prompt"
    where = "" if point.depth is None else f", depth {point.depth:.3g}"
    return f"{title}{kept}{where}: trial {{trial}} of {trials}"
