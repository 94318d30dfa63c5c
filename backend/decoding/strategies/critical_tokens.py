"""Critical tokens: likely ones that a worse model would say too, found by contrast with it."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.two_models import TwoModels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise


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
    builds_on = "few likeliest tokens lose most of their share by the contrast"
    neutral: ClassVar[dict[str, Any]] = {"weight": 0.0}

    weight: float = Field(1.0, ge=0, le=5, description="Share of the small model's ln p.")
    below: float = Field(
        0.5, ge=0, le=1, description="A token is critical where the contrast leaves it less."
    )
    least: float = Field(
        0.1, ge=0, le=1, description="Leave out tokens below this share of the likeliest one."
    )

    def most_premise_passes(self, new_tokens: int) -> int:  # noqa: ARG002
        """Plain decoding is read once more; the small model's pass is counted with its others."""
        return 1

    def premise(self, lane: "Lane") -> "Premise":
        """Count the tokens of plain decoding that the contrast finds critical.

        Whether another token there saves the answer is what trials say, where one is known.
        """
        import torch

        from tokenarium.backend.decoding.drawing import Drawing, Series
        from tokenarium.backend.decoding.premise import (
            LEAST_STEPS,
            MOST_SHARE,
            Premise,
            too_short,
        )

        tokens = lane.calibration.tokens
        if len(tokens) < LEAST_STEPS:
            return too_short(self.builds_on, len(tokens))
        said = lane.second.along(tokens)
        lane.stepper.feed(tokens)
        shares, critical = list[float](), list[bool]()
        for row, small, token in zip(
            lane.stepper.rows_before(len(tokens)), said, tokens, strict=True
        ):
            left = torch.softmax(self.contrast(row.float(), small.logits), -1)
            shares.append(float(left[token]))
            critical.append(shares[-1] < self.below and int(left.argmax()) != token)
        steps = [float(step + 1) for step in range(len(tokens))]
        return Premise(
            self.builds_on,
            f"{sum(critical)} of {len(tokens)} tokens of plain decoding "
            f"({sum(critical) / len(tokens):.0%}) are critical: the contrast leaves them less than "
            f"{self.below:g}, and another one more",
            sum(critical) / len(tokens),
            MOST_SHARE,
            drawing=Drawing(
                "What the contrast leaves plain decoding",
                "step",
                "share after the contrast",
                (
                    Series("token that was taken", steps, shares),
                    Series("critical below", [steps[0], steps[-1]], [self.below] * 2),
                ),
            ),
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
