"""Routing to a large model: a small one writes, and hands over the tokens where it is unsure."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tokenarium.backend.decoding.two_models import TwoModels

if TYPE_CHECKING:
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise


class R2R(TwoModels):
    """The small model writes where its entropy is below a threshold, else the large one does.

    What the small one wrote meanwhile the large one reads in one pass, when it is asked again.
    """

    slug = "r2r"
    title = "Small-large routing (R2R)"
    explanation = (
        "Lets a small model write, and asks the large one for the next token only where the small "
        "one is unsure, which is where their texts would part."
    )
    paper = "Fu et al., 2025, arXiv:2505.21600"
    differs = (
        "the paper's router is trained on tokens at which the texts of both models part; here the "
        "small model's entropy decides, by a quantile along the text of plain decoding"
    )
    builds_on = "the small model says the same as the large one at most steps"
    neutral: ClassVar[dict[str, Any]] = {"route": "always"}
    published: ClassVar[dict[str, Any]] = {"threshold": 0.45}

    route: Literal["unsure", "always", "never"] = Field(
        "unsure", description="When the large model writes."
    )
    quantile: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Quantile of the small model's entropy along plain decoding to hand over at.",
    )
    threshold: float = Field(
        0.0, ge=0, le=20, description="Entropy to hand over above, in nats; 0 takes the quantile."
    )

    def premise(self, lane: "Lane") -> "Premise":
        """Count where the small model would have said the same."""
        from tokenarium.backend.decoding.agreement import agreement

        return agreement(self.builds_on, lane)

    def decode(self, lane: "Lane") -> None:
        """Route every token."""
        line = self.threshold
        if not line and self.route == "unsure":
            line = lane.second.calibrated(lane.calibration).entropy(self.quantile)
        if self.route == "unsure":
            lane.line("hand over above", line)
        large = False
        while not lane.ended:
            small = lane.second.now
            unsure = small.entropy_nats > line if self.route == "unsure" else self.route == "always"
            if not unsure:
                large = False
                lane.take(small.best, score=small.entropy_nats, by=small)
                continue
            if not large:
                lane.event("switch", "the large model writes: the small one is unsure")
            large = True
            token = lane.now.best
            same = token == small.best
            words = "both models say the same" if same else "the small model says another token"
            if not same:
                lane.consider([small.best], [small.entropy_nats], "what the small model says")
            lane.take(token, score=small.entropy_nats, reason=words)
