"""One exercise of a point followed step by step: what a policy kept, as a run under policies."""

from collections.abc import Callable

import numpy as np

from tokenarium.backend.benchmark.evaluation import (
    Answered,
    Evaluation,
    full_reading,
    readings,
)
from tokenarium.backend.benchmark.sweep.exercises import exercises
from tokenarium.backend.benchmark.sweep.request import PointRequest
from tokenarium.backend.benchmark.task import Exercise
from tokenarium.backend.cache.budget import CacheSizes, tokens_per_head
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.ledger import Ledger, choices
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import decode_each
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.backend.runs.read_text import without_turns

_SCORED_STEPS = 4
"""Steps between two records of scores: a sweep stores many such runs."""


class Course:
    """Writes down what one exercise's reading leaves in the cache; the answer is given.

    The last token of the question is read after the first eviction, so that it is the first step
    of the run; how well it was predicted is not asked.
    """

    def __init__(
        self, loaded: LoadedModel, policy: Policy, budget: int, exercise: Exercise
    ) -> None:
        self._loaded, self._policy, self._budget = loaded, policy, budget
        self._prompt, *late = readings(exercise, query_aware=True)
        self._given = [token for part in late for token in part] + list(exercise.answer)
        self._late = len(self._given) - len(exercise.answer)
        self._steps, self._step = len(self._given), 0
        self._ledger: Ledger | None = None
        self._step_ms: list[float] = []

    def before(self, sequence: CachedSequence) -> None:
        """Ask for scores where they are kept."""
        sequence.keep_scores = self._step % _SCORED_STEPS == 0

    def after(self, sequence: CachedSequence, took_ms: float) -> None:
        """Write down one reading; that of the answer's last token has no prediction to go with."""
        if self._ledger is None:
            heads = max(cache.entries.groups for cache in sequence.layers)
            layers = len(self._loaded.layers)
            self._ledger = Ledger(1, self._steps, layers, heads, len(self._prompt))
        if self._step < self._steps:
            made = choices(sequence)
            self._ledger.took(0, self._step, sequence, made, [None] * len(made))
            self._step_ms.append(took_ms)
        self._step += 1

    def result(self, answered: Answered) -> CacheResult:
        """Return the reading as a run under one policy."""
        ledger, loaded, prompt = self._ledger, self._loaded, list(self._prompt)
        assert ledger is not None
        ids, late = self._given, self._late
        ledger.token_ids[0] = ids
        numbers = ledger.numbers
        numbers["prefill_ms"][0] = self._step_ms[0]
        numbers["step_ms"][0, 1:] = self._step_ms[1:]
        numbers["surprisal_nats"][0, late:] = answered.surprisal
        numbers["kl_nats"][0, late:] = answered.kl
        numbers["top1_agree"][0, late:] = answered.agree
        numbers["perplexity"][0] = np.exp(answered.surprisal.astype(np.float64).mean())
        other = np.flatnonzero(answered.agree == 0)
        ledger.first_divergence[0] = late + other[0] if len(other) else -1
        return ledger.result(
            finished=True,
            policies=(self._policy.recipe_slug,),
            titles=(self._policy.recipe_title,),
            labels=(self._policy.recipe_label,),
            budget_tokens=self._budget,
            prompt_ids=np.asarray(prompt, np.int32),
            prompt_text=decode_each(loaded, prompt),
            prompt=str(loaded.tokenizer.decode(prompt)),
            **without_turns(len(prompt)),
            token_text=(decode_each(loaded, ids),),
            text=(str(loaded.tokenizer.decode(ids, skip_special_tokens=True)),),
            general_notes=(
                "a point of a trade-off: the first of its exercises, whose answer is given; the "
                "last token before the answer is read as a step, after entries were dropped",
            ),
        )


def follow_point(
    request: PointRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> CacheResult:
    """Read the first exercise of a point, as its sweep did.

    Raises: ValueError where the exercise or the budget does not suit; Cancelled.
    """
    for name in ("policies", "budgets", "depths"):
        if (count := len(getattr(request, name))) != 1:
            raise ValueError(
                f"{name} has {count} values, and a point of a sweep has one: name one of them, or "
                "ask for the whole sweep"
            )
    (spec,), (ratio,), (depth,) = request.policies, request.budgets, request.depths
    ProgressReporter(emit, cancel).report(f"{spec.policy.title}: the first exercise", 0, 1)
    exercise = exercises(request, loaded, limit, depth, cancel.check)[0]
    budget = tokens_per_head(ratio, "ratio", len(exercise.prompt), CacheSizes.of(loaded, 0))
    full = full_reading(loaded, exercise, cancel.check)
    course = Course(loaded, spec.policy, budget, exercise)
    reading = Evaluation(loaded, spec.policy, budget, request.seed, True, cancel.check)
    return course.result(reading.answer(exercise, full, course))
