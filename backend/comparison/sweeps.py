"""Sweeps beside each other: points of the same policy, budget and depth."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from tokenarium.backend.benchmark.sweep.request import SweepRequest
from tokenarium.backend.benchmark.sweep.result import SweepResult
from tokenarium.backend.comparison.names import beginnings, names_of
from tokenarium.backend.comparison.result import Floats, Lane, PlaceMeasure, RunComparison
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.run import Run

Place = tuple[str, float, float]
"""Policy with its parameters, budget, depth (-1 where it has no meaning)."""


def compare_sweeps(runs: Sequence[Run]) -> RunComparison:
    """Lay the points of sweeps beside those of the first one.

    Raises:
        UserError: if no point of the first sweep is in another one.
    """
    requests = [cast(SweepRequest, run.request) for run in runs]
    results = [cast(SweepResult, run.result) for run in runs]
    points = [_points(request, result) for request, result in zip(requests, results, strict=True)]
    places = [place for place in points[0] if any(place in other for other in points[1:])]
    if not places:
        raise UserError(
            f"{runs[0].id} has no policy at a budget and depth that another of these sweeps has "
            "too: compare sweeps that share some"
        )
    at = [[found.get(place, -1) for place in places] for found in points]
    names = names_of(
        runs,
        [
            (request.task or beginnings([text.text for text in request.texts])[0], request.model,
             f"{request.length} tokens", f"{request.trials} trials")
            for request in requests
        ],
    )  # fmt: skip
    return RunComparison(
        kind="sweep",
        runs=tuple(runs),
        lanes=tuple(map(_lane, runs, names, requests, results)),
        axis="point",
        places=tuple(_named(place, request=requests[0]) for place in places),
        measures=_measures(results, at),
        alignments=(None,) * len(runs),
        notes=(
            f"{len(places)} of {len(points[0])} points of the first sweep are in another one too.",
        ),
    )


def _points(request: SweepRequest, result: SweepResult) -> dict[Place, int]:
    """Return the number of every point that was measured, by what it is of."""
    found: dict[Place, int] = {}
    tried = [spec.model_dump_json() for spec in request.tried]
    for number, (policy, ratio, depth) in enumerate(
        zip(result.policy.tolist(), result.ratio.tolist(), result.depth.tolist(), strict=True)
    ):
        if not result.refused[number]:
            found[tried[policy], round(ratio, 6), -1.0 if np.isnan(depth) else round(depth, 6)] = (
                number
            )
    return found


def _named(place: Place, request: SweepRequest) -> str:
    policy, ratio, depth = place
    titles = {spec.model_dump_json(): spec.policy.title for spec in request.tried}
    return f"{titles[policy]} at {ratio:.0%}" + (f", depth {depth:g}" if depth >= 0 else "")


def _lane(run: Run, name: str, request: SweepRequest, result: SweepResult) -> Lane:
    facts = {"points": float(len(result.policy)), "trials": float(request.trials)}
    return Lane(run.id, name, request.model, (), np.zeros(0, np.int32), facts)


def _measures(
    results: Sequence[SweepResult], at: Sequence[Sequence[int]]
) -> dict[str, PlaceMeasure]:
    def rows(name: str) -> Floats:
        return np.array(
            [
                [_number(result, name, point) for point in row]
                for result, row in zip(results, at, strict=True)
            ],
            np.float64,
        )

    said = {
        "accuracy": ("accuracy", "", "Share of right answers."),
        "kl_nats": ("divergence from the full cache", "nats", "How far the prediction moves."),
        "attention_recall": (
            "attention recall",
            "",
            "How much of what the full model looks at was still there.",
        ),
        "perplexity": ("perplexity", "", "How many tokens the model hesitates between, in effect."),
        "cache_bytes": ("cache", "bytes", "What the cache really takes."),
        "step_ms_p50": ("time per token", "ms", "Median over all answer tokens."),
    }
    return {
        name: PlaceMeasure(
            title,
            unit,
            meaning,
            rows(name),
            paired=True,
            of=name,
            at=np.array(at, np.int32)[..., None],
        )
        for name, (title, unit, meaning) in said.items()
        if any(getattr(result, name) is not None for result in results)
    }


def _number(result: SweepResult, name: str, point: int) -> float:
    """Return a number of a point; NaN where there is none, or an older version lacks it."""
    found = getattr(result, name)
    return np.nan if point < 0 or found is None else float(found[point])
