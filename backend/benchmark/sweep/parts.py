"""A sweep in parts: each point of the grid by itself, on whichever worker is free."""

import json
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tokenarium.backend.benchmark.sweep.request import SweepRequest
from tokenarium.backend.benchmark.sweep.result import Point, SweepResult


@dataclass(frozen=True)
class MeasuredPoint:
    """What a worker measured of one point."""

    cell: Any
    """Its ``Cell``; that class imports torch, and what joins the points does not."""
    chat: bool
    """Whether the task was asked in a conversation."""
    context: int
    """Tokens that the model was made to read."""


class SweepParts:
    """See ``Parts``: the full cache at every depth first, then the policies.

    Args:
        request: the sweep.
    """

    compute = "tokenarium.backend.benchmark.sweep.runner:measured_point"

    def __init__(self, request: SweepRequest) -> None:
        self._request = request
        self._points = list(grid(request))
        self._done: dict[Point, MeasuredPoint] = {}

    def stages(self) -> Iterator[Sequence[Point]]:
        """Yield the points of the full cache, then all others."""
        yield [point for point in self._points if not point.policy]
        yield [point for point in self._points if point.policy]

    def key(self, part: Hashable) -> str:
        """Return all that the numbers of a point depend on beside model and machine."""
        point = cast(Point, part)
        spec = self._request.tried[point.policy]
        return point_key(self._request, spec.model_dump(mode="json"), point)

    def take(self, part: Hashable, answer: Any) -> None:
        """Take the ``MeasuredPoint`` of a point."""
        self._done[cast(Point, part)] = answer

    def doing(self, part: Hashable) -> str:
        """Return the policy and the budget."""
        point = cast(Point, part)
        title = self._request.tried[point.policy].policy.recipe_title
        return title if not point.policy else f"{title} at {point.ratio:.3g} of the prompt"

    def shown(self) -> SweepResult:
        """Return what is known so far, once one point is."""
        return self.result()

    def result(self) -> SweepResult:
        """Return what is known so far.

        Raises:
            ValueError: if all points are there and no policy could be measured.
        """
        done = {point: self._done[point] for point in self._points if point in self._done}
        cells = {point: measured.cell for point, measured in done.items()}
        if len(cells) == len(self._points):
            refuse_nothing_measured(cells)
        one = next(iter(done.values()))
        return SweepResult.of(
            self._request, self._points, cells, chat=one.chat, context=one.context
        )


def grid(request: SweepRequest) -> Iterator[Point]:
    """Yield all points, by policy, budget and depth; what keeps everything has one budget."""
    task = request.chosen_task
    depths = request.depths if task is not None and task.has_depth else (None,)
    for number, spec in enumerate(request.tried):
        ratios = (1.0,) if spec.policy.keeps_all else request.budgets
        for ratio in ratios:
            for depth in depths:
                yield Point(number, ratio, depth)


def point_key(request: SweepRequest, spec: Any, point: Point) -> str:
    """Return what one point is asked, whatever other points there are beside it."""
    shared = request.model_dump(mode="json", exclude={"policies", "budgets", "depths"})
    return json.dumps([shared, spec, point.ratio, point.depth], sort_keys=True)


def refuse_nothing_measured(cells: dict[Point, Any]) -> None:
    """Raise the first reason if all policies were refused.

    Raises:
        ValueError: with the reason.
    """
    if all(cell.refused for point, cell in cells.items() if point.policy):
        reasons = [cell.refused for cell in cells.values() if cell.refused]
        if reasons:
            raise ValueError(reasons[0])
