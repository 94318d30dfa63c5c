"""HAPO's adaptive temperature: warmer where the model is more unsure than it usually was."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PrivateAttr

from tokenarium.backend.decoding.strategy import SampledStrategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.pipeline import Pipeline
    from tokenarium.backend.decoding.premise import Premise

LEAST_PAST = 8
"""Steps before which the temperature is the plain one: too few to say what is usual."""
LEAST_NATS = 1e-6
"""Below that entropies count as this much: the logarithm of 0 has no place among others."""


class HapoTemperature(SampledStrategy):
    """The temperature is T (1 + tau h), h in [-1, 1] from where ln H stands among those before.

    With m the pivot quantile and s the standard deviation of ln H over the steps so far,
    h' = (ln H - m) / s; h is h' over the largest h' so far where positive, over the most negative
    one where negative.
    """

    slug = "hapo_temperature"
    title = "Adaptive temperature (HAPO)"
    explanation = (
        "Draws at a higher temperature where the model is more unsure than at most steps so far, "
        "and at a lower one where it is surer."
    )
    paper = "Liu et al., 2025, arXiv:2509.16591"
    differs = (
        "statistics are of the steps of this text, the paper's of a batch in training; the first "
        f"{LEAST_PAST} steps have the plain temperature"
    )
    builds_on = "the model is more unsure than usual at few steps, and these are warmer"
    neutral: ClassVar[dict[str, Any]] = {"tau": 0.0}
    published: ClassVar[dict[str, Any]] = {"tau": 0.05, "pivot": 0.8}

    tau: float = Field(
        0.3, ge=0, le=0.95, description="Largest change of the temperature, as a share of it."
    )
    pivot: float = Field(
        0.8, ge=0, le=1, description="Quantile of the entropies so far above which it is warmer."
    )
    _past: list[float] = PrivateAttr(default_factory=list)

    def pipeline(self) -> "Pipeline":
        """Return sampling whose temperature follows the entropy."""
        from tokenarium.backend.decoding.adaptive_temperature import AdaptiveTemperature

        self._past.clear()
        return AdaptiveTemperature(**self.sampling(), factor=self._factor)

    def premise(self, lane: "Lane") -> "Premise":
        """Count the steps of plain decoding that would be warmer."""
        from tokenarium.backend.decoding.drawing import Drawing, Series
        from tokenarium.backend.decoding.premise import (
            LEAST_STEPS,
            MOST_SHARE,
            Premise,
            too_short,
        )

        known = [_log(value) for value in lane.calibration.entropy_nats.tolist()]
        if len(known) < LEAST_PAST + LEAST_STEPS:
            return too_short(self.builds_on, len(known), LEAST_PAST + LEAST_STEPS)
        past = range(LEAST_PAST, len(known))
        factors = [1 + self.tau * standing(known[step], known[:step], self.pivot) for step in past]
        warmer = sum(factor > 1 for factor in factors)
        return Premise(
            self.builds_on,
            f"at {warmer} of {len(factors)} steps of plain decoding the temperature would rise, by "
            f"up to {max(factors) - 1:.0%}, and fall by up to {1 - min(factors):.0%}",
            warmer / len(factors),
            MOST_SHARE,
            drawing=Drawing(
                "Temperature along plain decoding",
                "step",
                "factor of the temperature",
                (Series("plain decoding", [float(step + 1) for step in past], factors),),
            ),
        )

    def step(self, lane: "Lane") -> None:
        """Draw, and remember how unsure the model was."""
        entropy = lane.now.entropy_nats
        lane.take(lane.drawn(), score=self._factor(entropy))
        self._past.append(_log(entropy))

    def _factor(self, entropy: float, _: float = 0.0) -> float:
        return 1 + self.tau * standing(_log(entropy), self._past, self.pivot)


def standing(value: float, past: Sequence[float], pivot: float) -> float:
    """Return where a value stands among earlier ones, in [-1, 1]; 0 at their pivot quantile.

    Args:
        value: ln of the entropy now.
        past: the same of the steps before.
        pivot: quantile that counts as neither high nor low.
    """
    import numpy as np

    if len(past) < LEAST_PAST:
        return 0.0
    known = np.asarray(past, np.float64)
    middle, spread = np.quantile(known, pivot), known.std()
    if spread == 0:
        return 0.0
    away = (value - middle) / spread
    others = (known - middle) / spread
    largest = max(others.max(), away) if away > 0 else -min(others.min(), away)
    return float(away / largest) if largest > 0 else 0.0


def _log(entropy: float) -> float:
    import math

    return math.log(max(entropy, LEAST_NATS))
