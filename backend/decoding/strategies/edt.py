"""Entropy-based dynamic temperature: nearly greedy where the model is sure."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import SampledStrategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.pipeline import Pipeline

LEAST_NATS = 1e-6
"""Below that the temperature is 0 anyway, and a division would overflow."""


class Edt(SampledStrategy):
    """The temperature is T base^(theta / H): T where H is large, 0 where it is 0."""

    slug = "edt"
    title = "Entropy-based dynamic temperature (EDT)"
    explanation = (
        "Draws nearly greedily where the model is sure and at the full temperature where it is "
        "not: the temperature falls as the entropy does."
    )
    paper = "Zhang et al., 2024, arXiv:2403.14541"
    neutral: ClassVar[dict[str, Any]] = {"theta": 0.0}
    published: ClassVar[dict[str, Any]] = {"base": 0.8}

    theta: float = Field(
        1.0, ge=0, le=20, description="Entropy in nats at which the temperature falls by the base."
    )
    base: float = Field(
        0.8, gt=0, lt=1, description="Factor of the temperature where the entropy is theta."
    )

    def pipeline(self) -> "Pipeline":
        """Return sampling whose temperature follows the entropy."""
        from tokenarium.backend.decoding.adaptive_temperature import AdaptiveTemperature

        return AdaptiveTemperature(**self.sampling(), factor=self.factor)

    def factor(self, entropy: float, _: float = 0.0) -> float:
        """Return the share of the temperature at an entropy."""
        if self.theta == 0:
            return 1.0
        return float(self.base ** (self.theta / max(entropy, LEAST_NATS)))

    def step(self, lane: "Lane") -> None:
        """Draw, and write down the factor."""
        lane.take(lane.drawn(), score=self.factor(lane.now.entropy_nats))
