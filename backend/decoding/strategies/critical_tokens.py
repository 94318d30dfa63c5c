"""Critical tokens: likely ones that a worse model would say too, found by contrast with it."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.two_models import TwoModels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tokenarium.backend.decoding.lane import Lane


class CriticalTokens(TwoModels):
    """s = softmax((1 + weight) ln p - weight ln q), p of the model, q of the small one.

    A likeliest token of low s is critical: the token of the highest s is taken in its place.
    Tokens below a share of the likeliest one's p are left out.
    """

    slug = "critical_tokens"
    title = "Critical tokens"
    explanation = (
        "Contrasts the model with a worse one: a likeliest token that loses most of its share by "
        "that is critical, and another is taken in its place."
    )
    paper = "Lin et al., 2024, arXiv:2411.19943"
    differs = (
        "the paper fine-tunes one model on right and one on wrong answers, and trains a third by "
        "their contrast; here a small model stands for the wrong one, and the contrast chooses"
    )
    neutral: ClassVar[dict[str, Any]] = {"weight": 0.0}

    weight: float = Field(1.0, ge=0, le=5, description="Share of the small model's ln p.")
    below: float = Field(
        0.5, ge=0, le=1, description="A token is critical where the contrast leaves it less."
    )
    least: float = Field(
        0.1, ge=0, le=1, description="Leave out tokens below this share of the likeliest one."
    )

    def decode(self, lane: "Lane") -> None:
        """Contrast at every step."""

        def change(logits: "Tensor", _: "Sequence[int]") -> "Tensor":
            return self.contrast(logits, lane.second.now.logits)

        if self.weight:
            lane.add_step("contrast with the small model", change)
        while not lane.ended:
            now = lane.now
            likeliest, best = int(now.logits.argmax()), now.best
            share = float(now.final[likeliest])
            if not self.weight or share >= self.below or best == likeliest:
                lane.take(likeliest, score=share)
                continue
            lane.event("refuse", "critical: the small model says it too", token=likeliest,
                       score=share)  # fmt: skip
            lane.take(best, score=float(now.final[best]), reason="likelier by the contrast")

    def contrast(self, logits: "Tensor", small: "Tensor") -> "Tensor":
        """Return the contrasted logits [V] of those of the model and of the small one [V]."""
        import torch

        p, q = torch.log_softmax(logits, -1), torch.log_softmax(small.float(), -1)
        changed = (1 + self.weight) * p - self.weight * q
        return changed.masked_fill(p.exp() < self.least * p.exp().max(), -float("inf"))
