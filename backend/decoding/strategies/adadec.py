"""AdaDec: where the model is unsure, look ahead from the likeliest tokens before taking one."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.calibration import Calibration
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise
    from tokenarium.backend.decoding.region import Region


class AdaDec(Strategy):
    """Each candidate's score is the mean ln p of it and of what greedy decoding writes after it.

    Only the candidate becomes part of the text; what was read ahead is written anew, as published.
    """

    slug = "adadec"
    title = "AdaDec"
    explanation = (
        "Pauses where the entropy is above a threshold, reads a few tokens ahead from each of the "
        "likeliest ones, and takes the one with the likeliest path."
    )
    paper = "He et al., 2025, arXiv:2506.08980"
    differs = (
        "the threshold is a quantile of the model's own entropy on this prompt; the paper learns "
        "one for each model from tokens whose right answer is known"
    )
    branches = True
    builds_on = "the model is unsure at few steps, where looking ahead is worth its passes"
    neutral: ClassVar[dict[str, Any]] = {"candidates": 1}
    published: ClassVar[dict[str, Any]] = {"threshold": 1.321, "candidates": 3, "look_ahead": 5}

    quantile: float = Field(
        0.8, ge=0, le=1, description="Quantile of the entropy of plain decoding to pause above."
    )
    threshold: float = Field(
        0.0, ge=0, le=20, description="Entropy to pause above, in nats; 0 takes the quantile."
    )
    candidates: int = Field(3, ge=1, le=20, description="Likeliest tokens that are tried.")
    look_ahead: int = Field(5, ge=1, le=32, description="Tokens that are read after each.")

    def most_passes(self, new_tokens: int) -> int:
        """Every step may look ahead."""
        return new_tokens * (1 + self.look_ahead + 1)

    def most_token_steps(self, new_tokens: int) -> int:
        """Every candidate is read, and what follows it."""
        return new_tokens * (1 + self.candidates * (1 + self.look_ahead))

    def _line(self, known: "Calibration") -> float:
        return self.threshold or known.entropy(self.quantile)

    def regions(self, calibration: "Calibration") -> "tuple[Region, ...]":
        """It looks ahead above the threshold."""
        from tokenarium.backend.decoding.region import Region

        return (Region("looks ahead", (self._line(calibration), float("inf"))),)

    def premise(self, lane: "Lane") -> "Premise":
        """Count the steps at which it would pause."""
        from tokenarium.backend.decoding.premise import doubt_is_rare

        known = lane.calibration
        values = known.entropy_nats.tolist()
        return doubt_is_rare(self.builds_on, values, self._line(known), "entropy")

    def step(self, lane: "Lane") -> None:
        """Take the likeliest token, or look ahead first."""
        line = lane.line("pause above", self._line(lane.calibration))
        now = lane.now
        if now.entropy_nats <= line or self.candidates == 1:
            lane.take(now.best)
            return
        lane.event("pause", "entropy is above the threshold")
        tokens = now.likeliest(self.candidates)
        tried = lane.fork(tokens)
        open_ = [branch for branch in tried if branch.tokens[-1] not in lane.ends]
        for _ in range(min(self.look_ahead, lane.room - 1)):
            if not open_:
                break
            lane.grow({branch: branch.now.best for branch in open_})
            open_ = [branch for branch in open_ if branch.tokens[-1] not in lane.ends]
        for branch in tried:
            branch.score = sum(branch.log_probs) / len(branch.log_probs)
        lane.consider(tokens, [branch.score for branch in tried])
        best = max(tried, key=lambda branch: branch.score)
        lane.keep(best, 1, score=best.score, reason="its path is the likeliest")
