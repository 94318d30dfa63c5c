"""Cautious next token prediction: the more unsure, the more trials up to a punctuation mark."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import SampledStrategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.branch import Branch
    from tokenarium.backend.decoding.calibration import Calibration
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise
    from tokenarium.backend.decoding.region import Region

PUNCTUATION = ".,\n?!:;)]}"
"""A trial ends with a token that has one of these."""


class Cntp(SampledStrategy):
    """Trials are drawn side by side; the one of the lowest perplexity becomes the text.

    Their number is 1 + (most - 1) (H - low) / (high - low), rounded down, within 1 .. most.
    """

    slug = "cntp"
    title = "Cautious next token prediction"
    explanation = (
        "Draws one token where the model is sure; where it is not, several continuations up to "
        "the next punctuation mark, the more the more unsure, and keeps the likeliest."
    )
    paper = "Wang et al., 2025, arXiv:2507.03038"
    differs = (
        "the two entropies between which trials grow are quantiles of the model's own; a trial "
        "ends after a number of tokens too"
    )
    branches = True
    builds_on = "the model is unsure at few steps, where several trials are worth their passes"
    neutral: ClassVar[dict[str, Any]] = {"max_trials": 1}
    published: ClassVar[dict[str, Any]] = {"low_nats": 0.01, "high_nats": 1.5, "max_trials": 10}

    max_trials: int = Field(4, ge=1, le=16, description="Most trials, where it is least sure.")
    low: float = Field(
        0.7, ge=0, le=1, description="Quantile of the entropy up to which there is one trial."
    )
    high: float = Field(
        0.95, ge=0, le=1, description="Quantile of the entropy from which on there are most."
    )
    low_nats: float = Field(
        0.0, ge=0, le=20, description="The lower entropy in nats; 0 takes the quantile."
    )
    high_nats: float = Field(
        0.0, ge=0, le=20, description="The higher entropy in nats; 0 takes the quantile."
    )
    longest: int = Field(
        12, ge=1, le=64, description="Tokens after which a trial ends without a punctuation mark."
    )

    def most_passes(self, new_tokens: int) -> int:
        """A trial may end at once, and the others go on."""
        return new_tokens * (1 + self.longest)

    def most_token_steps(self, new_tokens: int) -> int:
        """All trials are read."""
        return new_tokens * (1 + self.max_trials * self.longest)

    def _lines(self, known: "Calibration") -> tuple[float, float]:
        low = self.low_nats or known.entropy(self.low)
        return low, self.high_nats or known.entropy(self.high)

    def regions(self, calibration: "Calibration") -> "tuple[Region, ...]":
        """Trials grow between the two entropies."""
        from tokenarium.backend.decoding.region import Region

        low, high = self._lines(calibration)
        return (
            Region("more trials", (low, max(low, high))),
            Region("most trials", (max(low, high), float("inf"))),
        )

    def premise(self, lane: "Lane") -> "Premise":
        """Count the steps at which the entropy is in the range where trials grow."""
        from tokenarium.backend.decoding.premise import doubt_is_rare

        known = lane.calibration
        values = known.entropy_nats.tolist()
        return doubt_is_rare(self.builds_on, values, self._lines(known)[0], "entropy")

    def trials(self, entropy: float, low: float, high: float) -> int:
        """Return how many trials an entropy asks for."""
        if entropy <= low:
            return 1
        share = 1.0 if high <= low else min(1.0, (entropy - low) / (high - low))
        return int(1 + (self.max_trials - 1) * share)

    def step(self, lane: "Lane") -> None:
        """Draw a token, or try several continuations."""
        low, high = self._lines(lane.calibration)
        lane.line("one trial below", low)
        lane.line("most trials above", high)
        count = self.trials(lane.now.entropy_nats, low, high)
        if count == 1:
            lane.take(lane.drawn())
            return
        lane.event("pause", f"{count} trials", score=float(count))
        tried = self._drawn(lane, count)
        for branch in tried:
            branch.score = sum(branch.log_probs) / len(branch.log_probs)
        best = max(tried, key=lambda branch: branch.score)
        for branch in tried:
            if branch is not best:
                lane.drop(branch, "another trial has a lower perplexity")
        lane.keep(best, score=best.score, reason="the trial of the lowest perplexity")

    def _drawn(self, lane: "Lane", count: int) -> "list[Branch]":
        """Return trials, each up to its end."""
        from tokenarium.backend.speculation.distribution import sample_one

        now = lane.now
        others = [sample_one(now.final, float(lane.random.random())) for _ in range(count - 1)]
        tried = lane.fork([lane.drawn(), *others])
        for _ in range(min(self.longest, lane.room) - 1):
            open_ = [branch for branch in tried if not self._over(lane, branch.tokens[-1])]
            if not open_:
                break
            lane.grow({branch: lane.drawn_after(branch) for branch in open_})
        return tried

    def _over(self, lane: "Lane", token: int) -> bool:
        return token in lane.ends or any(mark in lane.spell([token]) for mark in PUNCTUATION)
