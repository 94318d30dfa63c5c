"""The result of a sweep, every quantity defined where it is declared.

P policies, C points (a policy at a budget and a depth), E exercises of a point, B parts of an
answer, M lengths of a prompt. A greedy answer is
right where every token of it is the likeliest, the tokens before it given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.benchmark.accuracy import interval, verdict
from tokenarium.backend.benchmark.sweep.exercise_quantities import (
    ExerciseQuantities,
    exercise_arrays,
)
from tokenarium.backend.cache.compared import slugs_quantity, titles_quantity
from tokenarium.backend.runs.result import quantity

if TYPE_CHECKING:
    from tokenarium.backend.benchmark.sweep.cell import Cell
    from tokenarium.backend.benchmark.sweep.choice import BudgetChoice
    from tokenarium.backend.benchmark.sweep.request import SweepRequest

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
WILSON = "Wilson, 1927, doi:10.1080/01621459.1927.10502953"


@dataclass(frozen=True)
class Point:
    """A place in the grid."""

    policy: int
    """Its number; 0 is the full cache."""
    ratio: float
    """Share of the prompt that may be kept."""
    depth: float | None
    """Where what is asked for stands; None where that has no meaning."""


def _each(title: str, unit: str, formula: str, meaning: str, source: str = "") -> Any:
    """Declare a number of every point."""
    return quantity(title, "C", unit, formula, meaning, source)


@dataclass(frozen=True)
class SweepResult(ExerciseQuantities):
    """Quality, bytes and time of policies over budgets and depths."""

    schema_version: ClassVar[int] = 4

    policies: tuple[str, ...] = slugs_quantity("slugs; the full cache is first")
    titles: tuple[str, ...] = titles_quantity()
    labels: tuple[str, ...] = quantity(
        "what is really done",
        "P",
        "",
        "evict: memory is freed; select: all is kept, a subset read; nothing: all is kept",
        "Whether the method saves memory, time, or nothing.",
    )
    policy: Integers = _each("policy", "", "index among the policies", "Which method this is.")
    ratio: Floats = _each(
        "budget", "", "share of the prompt, question included", "How much may be kept."
    )
    depth: Floats = _each(
        "depth",
        "",
        "0 at the start of the text, 1 just before the question; NaN where it has no meaning",
        "Where what is asked for stands.",
    )
    refused: tuple[str, ...] = _each(
        "refused",
        "",
        "why the policy cannot work here; empty where it can",
        "What stood in the way.",
    )
    budget_tokens: Floats = _each(
        "budget in tokens", "tokens", "mean over trials of round(ratio prompt)", "Tokens kept."
    )
    trials: Integers = _each("trials", "", "number of exercises", "How often it was tried.")
    correct: Integers = _each(
        "right answers",
        "",
        "trials where every token of the answer is the likeliest",
        "How often the whole answer was right.",
    )
    accuracy: Floats = _each("accuracy", "", "correct / trials", "Share of right answers.")
    accuracy_low: Floats = _each(
        "accuracy, low end", "", "95 % Wilson interval", "It could be as low by chance.", WILSON
    )
    accuracy_high: Floats = _each(
        "accuracy, high end", "", "95 % Wilson interval", "It could be as high by chance.", WILSON
    )
    chance: Floats = _each(
        "chance",
        "",
        "mean probability that a guess among the answers the text offers is right",
        "The accuracy that would mean nothing.",
    )
    chosen: Integers = _each(
        "right first tokens among those offered",
        "",
        "trials where the first token of the answer is likelier than those of all wrong answers",
        "An easier test than the whole answer.",
    )
    choice_chance: Floats = _each(
        "chance of the choice",
        "",
        "mean of 1 / number of first tokens offered; 1 where there is no wrong one",
        "The share of such choices that would mean nothing.",
    )
    first_probability: Floats = _each(
        "probability of the first token",
        "",
        "mean over trials of p(first token of the answer), entries having been dropped before the "
        "last token of the question was read; until version 1 the full cache's own",
        "How sure the model is of the answer's beginning.",
    )
    token_accuracy: Floats = _each(
        "right tokens",
        "",
        "mean over trials of the share of answer tokens that are the likeliest",
        "How much of the answer was right.",
    )
    perplexity: Floats = _each(
        "perplexity",
        "",
        "exp of the mean of -ln p(token) over all tokens of all answers",
        "How many tokens the model hesitates between, in effect.",
    )
    kl_nats: Floats = _each(
        "divergence from the full cache",
        "nats",
        "mean over answer tokens of sum_x p_full(x) ln(p_full(x) / p(x))",
        "How far the smaller cache moves the prediction.",
        "Kullback & Leibler, 1951",
    )
    top1_agree: Floats = _each(
        "agreement with the full cache",
        "",
        "share of answer tokens where both have the same likeliest token",
        "How often both would say the same.",
    )
    cache_bytes: Floats = _each(
        "cache",
        "bytes",
        "mean over trials and answer tokens of the bytes of the storage that is held",
        "What the cache really takes.",
    )
    prefill_ms: Floats = _each(
        "time to first token",
        "ms",
        "median over trials of the wall time of reading prompt and question, the question's last "
        "token as a step of its own",
        "How long until the first token is known.",
    )
    step_ms_p50: Floats = _each(
        "time per token", "ms", "median over all answer tokens", "How long a token takes."
    )
    step_ms_p90: Floats = _each(
        "time per token, slow ones", "ms", "0.9 quantile over all answer tokens", "The slow steps."
    )
    answer_nats: Floats = quantity(
        "surprisal by position",
        "C,B",
        "nats",
        "mean of -ln p(token) over the tokens of part b of the answers",
        "Where in the answer, or in the text, prediction fails.",
    )
    answer_edges: Integers = quantity(
        "parts of the answer",
        "B+1",
        "tokens",
        "part b holds the answer's tokens [edge b, edge b + 1)",
        "Which tokens a part is.",
    )
    points: int = quantity(
        "points asked for", "", "", "policies x budgets x depths", "More than C while it runs."
    )
    verdict: str = quantity(
        "verdict",
        "",
        "",
        "a task is within reach where the low end of the full cache's interval is above chance",
        "Whether the model can do this at all, so that policies can be judged by it.",
    )

    asked_as: str | None = quantity(
        "how it was asked",
        "",
        "",
        "chat: in the turns of the model's chat template, the answer begun in the assistant's "
        "turn; text: in running text",
        "Whether the task was a conversation or a text to go on with.",
        since=2,
    )

    acts_in: Integers | None = quantity(
        "layers in which it acts",
        "C",
        "",
        "layers whose queries see everything, and those with a window of the model that is larger "
        "than the budget by two or more; 0 where the policy was refused",
        "In the others nothing is measured: they are as in the full cache.",
        since=2,
    )
    layers: int | None = quantity(
        "layers", "", "", "of the model", "How many layers could be reduced.", since=2
    )
    attention_recall: Floats | None = quantity(
        "attention recall",
        "C",
        "",
        "mean over answer tokens, layers and KV heads of the full model's attention, where it "
        "predicts the token, to entries that the policy had kept and read there; of long answers "
        "over tokens spread evenly, as many as fit",
        "How much of what the full model looks at was still there.",
        since=4,
    )

    @property
    def finished(self) -> bool:
        """Whether every point was measured."""
        return len(self.policy) == self.points

    def choose(
        self, measure: str = "kl", *, at_most: float | None = None, at_least: float | None = None
    ) -> "BudgetChoice":
        """Return the smallest budget of each policy that holds a quality line, and how sure.

        ``result.choose("kl", at_most=0.1)``; see ``choose_budget``.
        """
        from tokenarium.backend.benchmark.sweep.choice import choose_budget

        return choose_budget(self, measure, at_most=at_most, at_least=at_least)

    @classmethod
    def of(
        cls,
        request: "SweepRequest",
        points: Sequence[Point],
        done: "Mapping[Point, Cell]",
        *,
        chat: bool,
        context: int,
    ) -> Self:
        """Return what is known so far; points in their order.

        Args:
            chat: whether the task was asked in turns.
            context: tokens that the model was made to read.
        """
        ready = [point for point in points if point in done]
        cells = [done[point] for point in ready]
        policies = [spec.policy for spec in request.tried]
        ends = [(np.nan, np.nan) if c.refused else interval(c.correct, c.trials) for c in cells]
        shares = [np.nan if cell.refused else cell.correct / cell.trials for cell in cells]
        return cls(
            policies=tuple(policy.recipe_slug for policy in policies),
            titles=tuple(policy.recipe_title for policy in policies),
            labels=tuple(policy.recipe_label for policy in policies),
            policy=np.asarray([point.policy for point in ready], np.int32),
            ratio=np.asarray([point.ratio for point in ready], np.float32),
            depth=np.asarray(
                [np.nan if point.depth is None else point.depth for point in ready], np.float32
            ),
            refused=tuple(cell.refused for cell in cells),
            accuracy=np.asarray(shares, np.float32),
            accuracy_low=np.asarray([low for low, _ in ends], np.float32),
            accuracy_high=np.asarray([high for _, high in ends], np.float32),
            answer_nats=np.stack([cell.answer_nats for cell in cells]),
            answer_edges=cells[0].edges,
            points=len(points),
            verdict=_verdict(request, ready, cells),
            layers=max(cell.layers for cell in cells),
            asked_as="chat" if chat else "text",
            context=context,
            **exercise_arrays(cells),
            **{name: _integers(cells, name) for name in _COUNTS},
            **{name: _floats(cells, name) for name in _MEANS},
        )


_COUNTS = ("trials", "correct", "chosen", "acts_in")
_MEANS = (
    "budget_tokens", "chance", "choice_chance", "first_probability", "token_accuracy",
    "perplexity", "kl_nats", "top1_agree", "attention_recall", "cache_bytes", "prefill_ms",
    "step_ms_p50", "step_ms_p90",
)  # fmt: skip


def _floats(cells: "list[Cell]", name: str) -> Any:
    return np.asarray([getattr(cell, name) for cell in cells], np.float32)


def _integers(cells: "list[Cell]", name: str) -> Any:
    return np.asarray([getattr(cell, name) for cell in cells], np.int32)


def _verdict(request: "SweepRequest", points: list[Point], cells: "list[Cell]") -> str:
    """Judge the full cache over all depths."""
    task = request.chosen_task
    if task is None or task.measure != "answer":
        return ""
    full = [cell for point, cell in zip(points, cells, strict=True) if point.policy == 0]
    trials = sum(cell.trials for cell in full)
    chance = sum(cell.chance for cell in full) / len(full)
    said = verdict("answers", sum(cell.correct for cell in full), trials, chance)
    choice = sum(cell.choice_chance for cell in full) / len(full)
    if choice == 1:
        return f"whole answer: {said}"
    chosen = sum(cell.chosen for cell in full)
    first = verdict("first tokens", chosen, trials, choice)
    return f"whole answer: {said}; first token among those offered: {first}"
