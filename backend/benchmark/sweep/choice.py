"""The smallest budget of each policy that holds a quality line, and how sure that is.

A budget holds the line where the mean over exercises does, as it is drawn, and so do all larger
budgets that were measured. How many exercises hold it one by one bounds the share of exercises like
these that would, whatever their distribution.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.benchmark.bounds import fewest_exercises, median_interval, share_at_least

if TYPE_CHECKING:
    from tokenarium.backend.benchmark.sweep.result import SweepResult

CONFIDENCE = 0.95
"""For all budgets of one policy together."""
DIVERGENCES, SHARES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0), (0.9, 0.8, 0.5, 0.25)
TIMES = (1.1, 1.2, 1.5, 2.0, 5.0)
OLDER = (
    "this sweep was measured by an older version, without its single exercises: sweep again to "
    "know how sure it is"
)


@dataclass(frozen=True)
class QualityMeasure:
    """A number of every point that a line can be set on."""

    title: str
    field: str
    """Of ``SweepResult``: its mean."""
    trial: str
    """Of ``SweepResult``: what every exercise came to."""
    higher: bool
    """Whether more is better."""
    usual: tuple[float, ...]
    """Where a line may begin, the strictest first; of perplexity, times that of the full cache."""

    def of(self, result: "SweepResult") -> NDArray[np.float32]:
        """Return the means [C] of a sweep; NaN where an older version did not measure them."""
        found = getattr(result, self.field)
        if found is None:
            return np.full(len(result.policy), np.nan, np.float32)
        means: NDArray[np.float32] = found
        return means


QUALITY_MEASURES = {
    "kl": QualityMeasure(
        "divergence from the full cache (nats)",
        "kl_nats",
        "trial_kl_nats",
        higher=False,
        usual=DIVERGENCES,
    ),
    "agree": QualityMeasure(
        "agreement with the full cache", "top1_agree", "trial_top1_agree", higher=True, usual=SHARES
    ),
    "recall": QualityMeasure(
        "attention recall",
        "attention_recall",
        "trial_attention_recall",
        higher=True,
        usual=(0.99, 0.95, *SHARES),
    ),
    "accuracy": QualityMeasure(
        "accuracy", "accuracy", "trial_token_accuracy", higher=True, usual=SHARES
    ),
    "tokens": QualityMeasure(
        "right tokens", "token_accuracy", "trial_token_accuracy", higher=True, usual=SHARES
    ),
    "perplexity": QualityMeasure(
        "perplexity", "perplexity", "trial_surprisal_nats", higher=False, usual=TIMES
    ),
}


@dataclass(frozen=True)
class ChosenBudget:
    """What a policy needs to hold the line; None where nothing is known, or none holds it."""

    policy: int
    """Its number in the result; 0 is the full cache."""
    slug: str
    title: str
    measured: int
    """Budgets that were measured; each bound is of 95 % for all of them together."""
    ratio: float | None
    """Share of the prompt; None where no budget holds the line."""
    point: int | None
    """Number of a point of it, the first over depths."""
    value: float
    """Mean over exercises at this budget; of the largest budget where none holds."""
    exercises: int
    holding: int | None
    """Exercises of which each holds the line by itself."""
    share: float | None
    """At least this share of such exercises holds the line, by Clopper and Pearson."""
    median: float | None
    interval: tuple[float, float] | None
    """Of the median over exercises, by order statistics."""
    cache_bytes: float
    bytes_at: dict[int, float]
    """By tokens of a prompt, computed."""
    step_ms: float
    why: str
    """What cannot be said, in a sentence; empty where all is."""

    @property
    def fewest(self) -> int:
        """Exercises from which a bound says more than nothing, for so many budgets."""
        return fewest_exercises((1 - CONFIDENCE) / self.measured)


@dataclass(frozen=True)
class BudgetChoice:
    """The answer to a quality line, one entry per policy."""

    measure: str
    line: float
    higher: bool
    """Whether the line must be reached, or else not be passed."""
    budgets: tuple[ChosenBudget, ...]

    @property
    def words(self) -> str:
        """The line in words."""
        which = "at least" if self.higher else "at most"
        return f"{QUALITY_MEASURES[self.measure].title} {which} {self.line:g}"

    def __str__(self) -> str:
        return "\n".join([self.words, *map(_line, self.budgets)])


def choose_budget(
    result: "SweepResult",
    measure: str = "kl",
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> BudgetChoice:
    """Return the smallest budget of each policy that holds a quality line.

    Args:
        result: of a sweep, finished or not.
        measure: a name in ``QUALITY_MEASURES``.
        at_most: the line of ``kl`` (nats) or ``perplexity``.
        at_least: the line of ``agree``, ``recall``, ``accuracy`` or ``tokens``, 0 to 1.

    Raises: ValueError where the measure is unknown, or the line is not its own.
    """
    chosen, line = _checked(measure, at_most, at_least)
    budgets = tuple(
        _of_policy(result, number, chosen, line)
        for number in range(len(result.policies))
        if np.isfinite(chosen.of(result)[result.policy == number]).any()
    )
    return BudgetChoice(measure, line, chosen.higher, budgets)


def usual_line(result: "SweepResult", measure: str) -> float:
    """Return where a line may begin: the strictest usual one that some policy holds."""
    chosen = QUALITY_MEASURES[measure]
    lines = chosen.usual
    if measure == "perplexity":
        full = result.perplexity[result.policy == 0]
        lines = (
            tuple(float(f"{times * full.mean():.3g}") for times in lines) if len(full) else (1.0,)
        )
    values = chosen.of(result)[result.policy > 0]
    for line in lines:
        if any(_holds(float(value), line, chosen) for value in values):
            return line
    return lines[0]


def _checked(
    measure: str, at_most: float | None, at_least: float | None
) -> tuple[QualityMeasure, float]:
    if measure not in QUALITY_MEASURES:
        raise ValueError(f"measure={measure!r} is unknown: choose {', '.join(QUALITY_MEASURES)}")
    chosen = QUALITY_MEASURES[measure]
    wanted, other = (at_least, at_most) if chosen.higher else (at_most, at_least)
    name, wrong = ("at_least", "at_most") if chosen.higher else ("at_most", "at_least")
    if wanted is None or other is not None:
        raise ValueError(f"measure={measure!r} takes {name}, not {wrong}: give {name} alone")
    ends = {"kl": (0, np.inf), "perplexity": (1, np.inf)}.get(measure, (0, 1))
    if not ends[0] <= wanted <= ends[1]:
        above = "" if ends[1] == np.inf else f" and at most {ends[1]}"
        raise ValueError(f"{name}={wanted:g} is out of range: choose at least {ends[0]}{above}")
    return chosen, float(wanted)


def _of_policy(
    result: "SweepResult", number: int, measure: QualityMeasure, line: float
) -> ChosenBudget:
    found = list(_budgets(result, number, measure))
    holding = []
    for ratio, value, points in found:  # the largest budget first
        if not _holds(value, line, measure):
            break
        holding.append((ratio, value, points))
    ratio, value, points = holding[-1] if holding else found[0]
    sure = _sure(result, points, measure, line, len(found)) if holding else {}
    known = result.bytes_at is not None and result.bytes_at_tokens is not None
    return ChosenBudget(
        policy=number,
        slug=result.policies[number],
        title=result.titles[number],
        measured=len(found),
        ratio=ratio if holding else None,
        point=int(points[0]) if holding else None,
        value=value,
        exercises=int(result.trials[points].min()),
        **{"holding": None, "share": None, "median": None, "interval": None, "why": "", **sure},
        cache_bytes=float(result.cache_bytes[points].mean()),
        bytes_at=_bytes_at(result, int(points[0])) if known else {},
        step_ms=float(result.step_ms_p50[points].mean()),
    )


def _budgets(
    result: "SweepResult", number: int, measure: QualityMeasure
) -> Iterator[tuple[float, float, NDArray[np.intp]]]:
    """Yield budget, mean over depths and points of a policy, the largest budget first."""
    values = measure.of(result)
    mine = (result.policy == number) & np.isfinite(values)
    for ratio in np.unique(result.ratio[mine])[::-1]:
        points = np.flatnonzero(mine & (result.ratio == ratio))
        yield float(f"{ratio:.6g}"), float(values[points].mean()), points


def _sure(
    result: "SweepResult",
    points: NDArray[np.intp],
    measure: QualityMeasure,
    line: float,
    budgets: int,
) -> dict[str, Any]:
    """Return how many exercises hold the line, and what that says of others like them."""
    trials = getattr(result, measure.trial)
    if trials is None:
        return {"why": OLDER}
    each = trials[points].astype(np.float64)
    if measure.field == "accuracy":
        each = (each == 1).astype(np.float64)
    values = each.mean(0)  # of an exercise, over the depths at which it was tried
    if measure.field == "perplexity":
        values = np.exp(values)
    n, alpha = len(values), (1 - CONFIDENCE) / budgets
    holding = int(sum(_holds(float(value), line, measure) for value in values))
    found = {"holding": holding, "median": float(np.median(values))}
    least = fewest_exercises(alpha)
    if n < least:
        tried = "1 exercise was" if n == 1 else f"{n} exercises were"
        why = f"{tried} tried, which says little of others: it takes {least} or more"
        return {**found, "why": why}
    share, interval = share_at_least(holding, n, alpha), median_interval(list(values), alpha)
    return {**found, "share": share, "interval": interval}


def _holds(value: float, line: float, measure: QualityMeasure) -> bool:
    # Stored in single precision: 0.9 of ten answers must reach a line at 0.9.
    near = 1e-6 * max(1.0, abs(line))
    return value >= line - near if measure.higher else value <= line + near


def _bytes_at(result: "SweepResult", point: int) -> dict[int, float]:
    assert result.bytes_at is not None
    assert result.bytes_at_tokens is not None
    lengths = map(int, result.bytes_at_tokens)
    return dict(zip(lengths, map(float, result.bytes_at[point]), strict=True))


def _line(own: ChosenBudget) -> str:
    if own.ratio is None:
        return f"{own.title}: none of {own.measured} budgets, {own.value:.3g} at the largest"
    held = f"{own.holding} of {own.exercises} exercises hold it"
    sure = own.why or f"{held}, at least {own.share:.0%} of such ones with 95 % confidence"
    return f"{own.title}: {own.ratio:.3g} of the prompt, {own.value:.3g}; {sure}"
