"""What a measure says of a text: a number a token, one of the whole, and what chance would give."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

NAN = float("nan")


@dataclass(frozen=True)
class Null:
    """The score where its cause is absent: mean, 95 % range, and how often it is as high."""

    mean: float = NAN
    low: float = NAN
    high: float = NAN
    at_least: float = NAN
    """Probability under the null of a score of at least the one measured."""

    @classmethod
    def of_draws(cls, scores: ArrayLike, measured: float) -> "Null":
        """Return the null of scores that were drawn from it; those that are not finite count for
        nothing.

        The measured score counts as one more draw, so that ``at_least`` is never 0 (Davison &
        Hinkley, 1997).
        """
        found = np.asarray(scores, np.float64)
        found = found[np.isfinite(found)]
        if not len(found) or not np.isfinite(measured):
            return cls()
        low, high = np.quantile(found, [0.025, 0.975])
        # Logarithms are float32: what differs by less than that is a tie.
        reached = int((found >= measured - 1e-6 * max(1.0, abs(measured))).sum())
        return cls(float(found.mean()), float(low), float(high), (reached + 1) / (len(found) + 1))


@dataclass(frozen=True)
class Judgement:
    """What one measure found in n judged tokens."""

    token_score: Numbers
    """[n] the measure of each token; NaN where it says nothing of it."""
    score: float
    """Of the text as a whole."""
    low: float = NAN
    """Lower end of the 95 % interval of the score; NaN where the text is too short for one."""
    high: float = NAN
    null: Null = Null()
    marked: Flags | None = None
    """[n] the tokens that decide; None for none."""
    details: Mapping[str, float] = field(default_factory=dict)
    """Further numbers, by the names that the measure declares."""
    notes: tuple[str, ...] = ()
