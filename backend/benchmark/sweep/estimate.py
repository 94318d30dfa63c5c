"""What a sweep will take, known before it starts and without a weight."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tokenarium.backend.benchmark.sweep.parts import grid
from tokenarium.backend.benchmark.sweep.request import SweepRequest
from tokenarium.backend.benchmark.sweep.result import SweepResult
from tokenarium.backend.cache.acting import refuse_nowhere, where_it_acts
from tokenarium.backend.cache.budget import CacheSizes, tokens_per_head
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.cost.memory import bytes_by_step
from tokenarium.backend.cost.sketch import Sketch
from tokenarium.backend.models.context import context_of
from tokenarium.backend.models.windows import windows_of


@dataclass(frozen=True)
class SweepEstimate:
    """What a sweep will take."""

    points: int
    """Policies x budgets x depths; the full cache has one budget."""
    exercises: int
    """Trials of each point, or prompts."""
    prompt_tokens: int
    """Of the longest prompt."""
    answer_tokens: int | None
    """At most so many to read after a prompt; None where the task's answer decides."""
    prefill_passes: int
    """Forward passes over a prompt, those of the full model beside them included."""
    largest_bytes: int
    """Cache of the point that holds most."""
    smallest_bytes: int
    """Cache of the point that holds least."""
    refused: tuple[str, ...]
    """Why policies cannot work at some budgets."""
    acts: tuple[str, ...]
    """In how many layers policies act, where that is not all of them."""
    total_ms: float | None
    """From sweeps of this model on this machine; None where a part was never measured."""
    unknown: tuple[str, ...]
    """Titles of what was never measured here."""


def estimate_run(request: SweepRequest, evidence: Evidence) -> SweepEstimate:
    """Return points, passes, bytes and time of a sweep, the time from sweeps of this machine."""
    done = [run.result for run in evidence.measured(request) if isinstance(run.result, SweepResult)]
    return estimate(request, evidence.sketch(request), done)


def estimate(request: SweepRequest, sketch: Sketch, done: Sequence[SweepResult]) -> SweepEstimate:
    """Return what a sweep will take.

    Args:
        request: of the sweep.
        sketch: of its model.
        done: earlier sweeps of this model on this machine, newest first.
    """
    task = request.chosen_task
    lengths = [request.length]
    if task is None:
        lengths = [sketch.count(text) for text in request.texts]
    points = list(grid(request))
    exercises = request.trials if task is not None else len(lengths)
    depths = len({point.depth for point in points})
    sizes_bytes, refused, acts = [], [], []
    for number, ratio in dict.fromkeys((point.policy, point.ratio) for point in points):
        policy = request.tried[number].policy
        try:
            sizes_bytes.append(_most_bytes(policy, ratio, max(lengths), request, sketch))
            acts.append(_where_it_acts(policy, ratio, max(lengths), sketch))
        except ValueError as error:
            refused.append(str(error))
    times = [_point_ms(request, point.policy, max(lengths), done) for point in points]
    titles = [request.tried[point.policy].policy.title for point in points]
    unknown = dict.fromkeys(t for t, ms in zip(titles, times, strict=True) if ms is None)
    # The full model reads every exercise once for all points, and continues a given prompt.
    beside = (times[0] or 0.0) * depths if times else 0.0
    total = exercises * (sum(ms or 0.0 for ms in times) + beside)
    return SweepEstimate(
        points=len(points),
        exercises=exercises,
        prompt_tokens=max(lengths),
        answer_tokens=request.max_new_tokens if task is None else None,
        prefill_passes=exercises * (len(points) + depths * (2 if task is None else 1)),
        largest_bytes=max(sizes_bytes, default=0),
        smallest_bytes=min(sizes_bytes, default=0),
        refused=tuple(dict.fromkeys(refused)),
        acts=tuple(dict.fromkeys(filter(None, acts))),
        total_ms=None if unknown else total,
        unknown=tuple(unknown),
    )


def _most_bytes(
    policy: Policy, ratio: float, prompt: int, request: SweepRequest, sketch: Sketch
) -> int:
    """Return the bytes after the last token of a continuation, or after the prompt of a task."""
    config, windows = sketch.config, windows_of(sketch.config)
    sizes = CacheSizes.read(config, getattr(torch, request.dtype), 0)
    budget = tokens_per_head(ratio, "ratio", prompt, sizes)
    fitted = policy.fitted(budget, len(windows), context_of(config))
    fitted.refuse_below_smallest(budget)
    refuse_nowhere(fitted, budget, windows, prompt)
    # The last token of the prompt is read as a step, after the first eviction.
    steps = 2 if request.task else request.max_new_tokens + 2
    return int(bytes_by_step(fitted, budget, max(1, prompt - 1), steps, windows, sizes).max())


def _where_it_acts(policy: Policy, ratio: float, prompt: int, sketch: Sketch) -> str:
    """Return in how many layers a policy acts at a budget; empty where in all."""
    windows = windows_of(sketch.config)
    budget = max(1, round(ratio * prompt))
    fitted = policy.fitted(budget, len(windows), context_of(sketch.config))
    words = where_it_acts(fitted, budget, windows, prompt)
    return words and f"{policy.title} at {ratio:.3g} {words}"


def _point_ms(
    request: SweepRequest, policy: int, prompt: int, done: Sequence[SweepResult]
) -> float | None:
    """Return the milliseconds of one exercise of a policy; None where none was measured."""
    slug = request.tried[policy].slug
    for result in done:
        if slug not in result.policies:
            continue
        here = result.policy == result.policies.index(slug)
        known = here & np.isfinite(result.step_ms_p50)
        if not known.any():
            continue
        answer = int(result.answer_edges[-1]) if request.task else request.max_new_tokens
        length = float(result.budget_tokens[known][0] / result.ratio[known][0])
        reading = float(result.prefill_ms[known].mean()) * prompt / length
        return reading + answer * float(result.step_ms_p50[known].mean())
    return None
