"""A cascade: the small model answers, and the large one only where that answer is not sure."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tokenarium.backend.decoding.two_models import TwoModels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise


class Cascade(TwoModels):
    """A text of the small model stays if a statistic of its tokens' surprisal is low enough.

    Else it is taken back, and the large model writes.
    """

    slug = "cascade"
    title = "Cascade"
    explanation = (
        "Lets a small model write the whole text, and keeps it if its tokens were sure enough; "
        "else takes it back and lets the large model write."
    )
    paper = "Gupta et al., 2024, arXiv:2404.10136"
    differs = (
        "the paper sets the threshold by how many of many prompts it may defer; for one prompt it "
        "is the same statistic along the large model's own text"
    )
    branches = True
    builds_on = "the small model says the same as the large one at most steps"
    neutral: ClassVar[dict[str, Any]] = {"defer": "always"}

    defer: Literal["unsure", "always", "never"] = Field(
        "unsure", description="When the large model writes."
    )
    statistic: Literal["quantile", "mean", "sum"] = Field(
        "quantile", description="What of the tokens' surprisal is compared."
    )
    quantile: float = Field(
        0.8, ge=0, le=1, description="Which quantile of the surprisal; 1 is the least likely token."
    )
    threshold: float = Field(
        0.0,
        ge=0,
        le=10_000,
        description="Surprisal to defer above, in nats; 0 takes that of the large model's text.",
    )

    def score(self, surprisal: "Sequence[float]") -> float:
        """Return the statistic of tokens' surprisal, in nats; infinite for none."""
        import numpy as np

        values = np.asarray(surprisal, np.float64)
        if not len(values):
            return float("inf")
        if self.statistic == "quantile":
            return float(np.quantile(values, self.quantile))
        return float(values.mean() if self.statistic == "mean" else values.sum())

    def premise(self, lane: "Lane") -> "Premise":
        """Count where the small model would have said the same."""
        from tokenarium.backend.decoding.agreement import agreement

        return agreement(self.builds_on, lane)

    def decode(self, lane: "Lane") -> None:
        """Let the small model write, then decide."""
        start = lane.step
        while not lane.ended:
            small = lane.second.now
            lane.take(small.best, by=small)
        score = self.score([-made.log_prob for made in lane.records[start:]])
        line = self.threshold or self.score([*map(float, lane.calibration.surprisal_nats[start:])])
        if self.defer != "always" and (self.defer == "never" or score <= line):
            words = f"kept: {score:.3g} nats, the line is {line:.3g}"
            lane.journal.add(lane.step - 1, "consider", score=score, reason=words)
            return
        lane.roll_back(lane.step - start, f"{score:.3g} nats, the line is {line:.3g}")
        lane.event("switch", "the large model writes: the small one was not sure", score=score)
        while not lane.ended:
            lane.take(lane.now.best)
