"""One point of the grid: a policy at a budget and a depth, over all trials."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.benchmark.evaluation import Answered, Evaluation, FullReading
from tokenarium.backend.benchmark.sweep.course import Course
from tokenarium.backend.benchmark.sweep.exercise_quantities import LENGTHS
from tokenarium.backend.benchmark.sweep.long_prompts import bytes_at
from tokenarium.backend.benchmark.task import Exercise
from tokenarium.backend.cache.acting import refuse_nowhere
from tokenarium.backend.cache.budget import CacheSizes, tokens_per_head
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel

MOST_BUCKETS = 64
"""Parts of an answer whose surprisal is kept apart."""
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
    acts_in: int = 0
    """Layers in which the policy acts."""
    layers: int = 0
    """Of the model."""
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
    attention_recall: float = NAN
    cache_bytes: float = NAN
    prefill_ms: float = NAN
    step_ms_p50: float = NAN
    step_ms_p90: float = NAN
    each: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """[E] by quantity, what every exercise came to; empty where the point was refused."""
    bytes_at: tuple[float, ...] = (NAN,) * len(LENGTHS)
    """Computed bytes of the cache after a prompt of each of ``LENGTHS``."""

    @classmethod
    def of(
        cls,
        exercises: Sequence[Exercise],
        found: list[Answered],
        budgets: list[int],
        **layers: Any,
    ) -> Self:
        """Join the trials; ``layers`` are ``acts_in``, ``layers`` and ``bytes_at``."""
        edges = _edges(exercises)
        every = np.concatenate([each.surprisal for each in found])
        step_ms = np.concatenate([each.step_ms for each in found])
        return cls(
            trials=len(found),
            edges=edges,
            answer_nats=_by_part(edges, found),
            **layers,
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
            attention_recall=_known_mean(np.concatenate([each.recall for each in found])),
            cache_bytes=_mean([each.cache_bytes.mean() for each in found]),
            prefill_ms=float(np.median([each.prefill_ms for each in found])),
            step_ms_p50=float(np.quantile(step_ms, 0.5)),
            step_ms_p90=float(np.quantile(step_ms, 0.9)),
            each={
                "trial_kl_nats": _means([one.kl for one in found]),
                "trial_top1_agree": _means([one.agree for one in found]),
                "trial_attention_recall": np.asarray(
                    [_known_mean(one.recall) for one in found], np.float32
                ),
                "trial_token_accuracy": _means([one.likeliest for one in found]),
                "trial_surprisal_nats": _means([one.surprisal for one in found]),
            },
        )


@dataclass(frozen=True)
class Trials:
    """The exercises of a depth, and how every policy reads them."""

    loaded: LoadedModel
    exercises: Sequence[Exercise]
    full: Sequence[FullReading]
    """What the full model makes of each exercise."""
    seed: int
    """Of the first exercise; each later one has the next."""
    query_aware: bool
    check: Callable[[], None]
    """Called in every layer; raises to stop."""

    def measure(
        self,
        policy: Policy,
        ratio: float,
        step: Callable[[int], None],
        followed: Callable[[CacheResult, float], None],
    ) -> Cell:
        """Try every exercise under a policy.

        Args:
            policy: as asked for.
            ratio: share of the prompt, question included, that may be kept.
            step: called with the number of trials done.
            followed: receives the first exercise step by step, and how many milliseconds it took.
        """
        try:
            budgets = self._budgets(ratio)
            CachedSequence(self.loaded, policy, min(budgets))
            layers = self._layers(policy, min(budgets))
        except ValueError as error:
            edges = _edges(self.exercises)
            nothing = np.full(len(edges) - 1, np.nan, np.float32)
            return Cell(len(self.exercises), edges, nothing, refused=str(error))
        found: list[Answered] = []
        for trial, (exercise, budget) in enumerate(zip(self.exercises, budgets, strict=True)):
            step(trial)
            first = trial == 0 and self.query_aware
            course = Course(self.loaded, policy, budget, exercise) if first else None
            answered = self._reading(policy, budget, trial).answer(
                exercise, self.full[trial], course
            )
            if course is not None:
                took_ms = answered.prefill_ms + float(answered.step_ms.sum())
                followed(course.result(answered), took_ms)
            found.append(answered)
        computed = bytes_at(self.loaded, policy, ratio)
        return Cell.of(self.exercises, found, budgets, **layers, bytes_at=computed)

    def _layers(self, policy: Policy, budget: int) -> dict[str, int]:
        """Return in how many layers of how many the policy acts.

        Raises:
            ValueError: if it acts nowhere, so that there is nothing to measure.
        """
        windows, prompt = capabilities.layers(self.loaded).windows, len(self.exercises[0].prompt)
        fitted = policy.fitted(budget, len(windows), self.loaded.context)
        refuse_nowhere(fitted, budget, windows, prompt)
        acting = len(fitted.acting_layers(budget, windows, prompt))
        everywhere = policy.label == "nothing"  # the full cache is what others are measured by
        return {"acts_in": len(windows) if everywhere else acting, "layers": len(windows)}

    def _budgets(self, ratio: float) -> list[int]:
        sizes = CacheSizes.of(self.loaded, 0)
        return [tokens_per_head(ratio, "ratio", len(one.prompt), sizes) for one in self.exercises]

    def _reading(self, policy: Policy, budget: int, trial: int) -> Evaluation:
        seed = self.seed + trial
        return Evaluation(self.loaded, policy, budget, seed, self.query_aware, self.check)


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


def _means(found: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    return np.asarray([each.astype(np.float64).mean() for each in found], np.float32)


def _known_mean(values: NDArray[np.float32]) -> float:
    known = values[np.isfinite(values)]
    return float(known.astype(np.float64).mean()) if len(known) else NAN


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
