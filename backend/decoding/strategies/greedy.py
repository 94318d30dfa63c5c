"""Greedy decoding."""

from typing import TYPE_CHECKING

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.pipeline import Pipeline


class Greedy(Strategy):
    """Plain decoding without chance."""

    slug = "greedy"
    title = "Greedy"
    explanation = "Takes the likeliest token at every step, and never looks further."
    paper = "none; the baseline"

    repetition_penalty: float = Field(
        1.0, gt=0, le=10, description="Divides logits of tokens of the text; 1 changes nothing."
    )

    @property
    def is_plain(self) -> bool:
        """It is."""
        return True

    def plain(self) -> Strategy:
        """Return itself."""
        return self

    def pipeline(self) -> "Pipeline":
        """Return the penalty alone."""
        from tokenarium.backend.decoding.pipeline import Pipeline

        return Pipeline(repetition_penalty=self.repetition_penalty)

    def step(self, lane: "Lane") -> None:
        """Take the likeliest token."""
        lane.take(lane.now.best)
