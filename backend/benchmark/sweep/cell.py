"""One point of the grid: a policy at a budget and a depth, over all trials."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.benchmark.evaluation import Answered, answer
from tokenarium.backend.benchmark.sweep.course import Course
from tokenarium.backend.benchmark.task import Exercise
from tokenarium.backend.cache.budget import CacheSizes, tokens_per_head
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.models.loaded import LoadedModel

MOST_BUCKETS = 64
"""Parts of an answer whose surprisal is told apart."""
NAN = float("nan")


@dataclass(frozen=True)
class Cell:
    """What one point came to; NaN where it was refused."""

    trials: int
    edges: NDArray[np.int32]
    """[P+1] part p of an answer holds the tokens [edges[p], edges[p + 1])."""
    answer_nats: NDArray[np.float32]
    """[P] mean surprisal of each part."""
    refused: str = ""
    """Why the policy cannot work here; empty where it can."""
    correct: int = 0
    chosen: int = 0
    chance: float = NAN
    choice_chance: float = NAN
    budget_tokens: float = NAN
    first_probability: float = NAN
    token_accuracy: float = NAN
    perplexity: float = NAN
    kl_nats: float = NAN
    top1_agree: float = NAN
    cache_bytes: float = NAN
    prefill_ms: float = NAN
    step_ms_p50: float = NAN
    step_ms_p90: float = NAN

    @classmethod
    def of(cls, exercises: Sequence[Exercise], found: list[Answered], budgets: list[int]) -> Self:
        """Join the trials."""
        edges = _edges(exercises)
        every = np.concatenate([each.surprisal for each in found])
        step_ms = np.concatenate([each.step_ms for each in found])
        return cls(
            trials=len(found),
            edges=edges,
            answer_nats=_by_part(edges, found),
            correct=sum(bool(each.likeliest.all()) for each in found),
            chosen=sum(each.chosen for each in found),
            chance=_mean([exercise.chance for exercise in exercises]),
            choice_chance=_mean([exercise.choice_chance for exercise in exercises]),
            budget_tokens=_mean(budgets),
            first_probability=_mean([float(np.exp(-each.surprisal[0])) for each in found]),
            token_accuracy=_mean([each.likeliest.mean() for each in found]),
            perplexity=float(np.exp(every.astype(np.float64).mean())),
            kl_nats=float(np.concatenate([each.kl for each in found]).mean()),
            top1_agree=float(np.concatenate([each.agree for each in found]).mean()),
            cache_bytes=_mean([each.cache_bytes.mean() for each in found]),
            prefill_ms=float(np.median([each.prefill_ms for each in found])),
            step_ms_p50=float(np.quantile(step_ms, 0.5)),
            step_ms_p90=float(np.quantile(step_ms, 0.9)),
        )


def measure(
    loaded: LoadedModel,
    policy: Policy,
    ratio: float,
    exercises: Sequence[Exercise],
    states: Sequence[Tensor],
    seed: int,
    query_aware: bool,
    step: Callable[[int], None],
    check: Callable[[], None],
    followed: Callable[[CacheResult, float], None],
) -> Cell:
    """Try every exercise.

    Args:
        ratio: share of the prompt, question included, that may be kept.
        states: of the full model for each exercise.
        step: called with the number of trials done.
        followed: told the first exercise step by step, and how many milliseconds it took.
    """
    sizes = CacheSizes.of(loaded, 0)
    found: list[Answered] = []
    try:
        budgets = [
            tokens_per_head(ratio, "ratio", len(exercise.prompt), sizes) for exercise in exercises
        ]
        CachedSequence(loaded, policy, min(budgets))
    except ValueError as error:
        edges = _edges(exercises)
        nothing = np.full(len(edges) - 1, np.nan, np.float32)
        return Cell(len(exercises), edges, nothing, refused=str(error))
    for trial, (exercise, budget) in enumerate(zip(exercises, budgets, strict=True)):
        step(trial)
        first = trial == 0 and query_aware
        course = Course(loaded, policy, budget, exercise) if first else None
        answered = answer(
            loaded,
            policy,
            budget,
            exercise,
            states[trial],
            seed + trial,
            query_aware,
            check,
            course,
        )
        if course is not None:
            followed(course.result(answered), answered.prefill_ms + float(answered.step_ms.sum()))
        found.append(answered)
    return Cell.of(exercises, found, budgets)


def _edges(exercises: Sequence[Exercise]) -> NDArray[np.int32]:
    most = max(len(exercise.answer) for exercise in exercises)
    parts = min(most, MOST_BUCKETS)
    return np.asarray([-(-part * most // parts) for part in range(parts + 1)], np.int32)


def _by_part(edges: NDArray[np.int32], found: list[Answered]) -> NDArray[np.float32]:
    parts = len(edges) - 1
    place = np.concatenate([np.arange(len(each.surprisal)) for each in found])
    values = np.concatenate([each.surprisal for each in found]).astype(np.float64)
    part = np.searchsorted(edges, place, side="right") - 1
    total = np.bincount(part, values, parts)
    return np.asarray(total / np.bincount(part, minlength=parts), np.float32)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
