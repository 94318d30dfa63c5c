"""Whether a strategy is right as often as its model is sure, by trials of one prompt."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.judging.counting import wilson
from tokenarium.backend.judging.judgement import Null
from tokenarium.backend.judging.reliability import calibration_error, equal_bins

TRIAL: Final = np.dtype(
    [("lane", np.int32), ("tokens", np.int32), ("log_prob", np.float32), ("right", np.int8)]
)
"""A trial: whose lane, tokens of the first line that it writes, the sum of their ln p by the model
at temperature 1, and 1 where it is right."""

LEAST_TRIALS = 16
"""Trials below which nothing is said: bins of fewer than 8 have intervals as wide as all."""
PER_BIN, MOST_BINS = 8, 5
TIMES = 1000
"""Draws of the interval and of the null."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Trials of about the same confidence."""

    trials: int
    confidence: float
    """Mean of them."""
    right: float
    """Share of them."""
    low: float
    """95 % interval of the share (Wilson, 1927)."""
    high: float


@dataclass(frozen=True)
class Reliability:
    """Confidence of n trials of one lane against whether each is right.

    The confidence of a text is exp(mean ln p) of the tokens of its first line, which is the part
    that answers. Intervals are of this prompt's trials: of other prompts they say nothing.

    Paper: Guo et al., 2017, arXiv:1706.04599. Differs: bins of equal numbers of trials, up to five
    of at least eight; the confidence is of a text.
    Args:
        confidence: [n] in [0, 1].
        right: [n] 1 or 0.
    """

    confidence: NDArray[np.float64]
    right: NDArray[np.float64]

    @staticmethod
    def of(rows: NDArray[Any]) -> "Reliability | None":
        """Return that of a lane's rows of ``TRIAL``; None where too few, or without ln p."""
        known = rows[np.isfinite(rows["log_prob"]) & (rows["tokens"] > 0)]
        if len(known) < max(LEAST_TRIALS, len(rows)):
            return None
        mean = known["log_prob"].astype(np.float64) / known["tokens"]
        return Reliability(np.exp(mean), known["right"].astype(np.float64))

    @property
    def trials(self) -> int:
        """How many there are."""
        return len(self.right)

    @property
    def mean_confidence(self) -> float:
        """Of all trials."""
        return float(self.confidence.mean())

    @property
    def share_right(self) -> float:
        """Of all trials."""
        return float(self.right.mean())

    @property
    def _count(self) -> int:
        return min(MOST_BINS, self.trials // PER_BIN)

    @property
    def bins(self) -> tuple[ReliabilityBin, ...]:
        """The bins of the diagram, least sure first."""
        return tuple(
            ReliabilityBin(
                len(own),
                float(self.confidence[own].mean()),
                float(self.right[own].mean()),
                *wilson(int(self.right[own].sum()), len(own)),
            )
            for own in equal_bins(self.confidence, self._count)
        )

    @property
    def error(self) -> float:
        """Expected calibration error: mean over bins of |mean confidence - share right|."""
        return calibration_error(self.confidence, self.right, self._count)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the error: trials, which are independent, drawn with replacement."""
        draw = np.random.default_rng([self.trials, 1])
        places = draw.integers(0, self.trials, (TIMES, self.trials))
        found = [
            calibration_error(self.confidence[own], self.right[own], self._count) for own in places
        ]
        low, high = np.quantile(found, [0.025, 0.975])
        return float(low), float(high)

    @cached_property
    def null(self) -> Null:
        """The error of the same confidences, each right with exactly that probability."""
        draw = np.random.default_rng([self.trials, 2])
        drawn = (draw.random((TIMES, self.trials)) < self.confidence).astype(np.float64)
        found = [calibration_error(self.confidence, row, self._count) for row in drawn]
        return Null.of_draws(found, self.error)
