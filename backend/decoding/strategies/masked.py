"""Locally masked decoding: tokens that break a constraint are left out at every step."""

from typing import TYPE_CHECKING

from tokenarium.backend.decoding.strategy import SampledStrategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tokenarium.backend.decoding.lane import Lane

DEAD_END = "no token may follow: the mask led into a dead end"


class Masked(SampledStrategy):
    """What may follow is drawn in proportion, however little mass is left.

    Texts are therefore too frequent by one over the mass that was left at their steps; a token's
    score is the sum of ln of that mass so far, the weight that ``awrs`` gives the text.
    """

    slug = "masked"
    title = "Masked decoding"
    explanation = (
        "Leaves out every token that breaks the constraint and draws from the others: quick, but "
        "texts into which the mask forces the model come too often."
    )
    paper = "the usual way; its bias: Lipkin et al., 2025, arXiv:2504.05410"
    constrained = True

    def decode(self, lane: "Lane") -> None:
        """Mask at every step, and sum up what was left."""
        allowed, first = lane.allowed, len(lane.stepper.prompt)
        if allowed is None:
            super().decode(lane)
            return

        def change(logits: "Tensor", path: "Sequence[int]") -> "Tensor":
            import torch

            kept = torch.from_numpy(allowed.mask(allowed.text(path[first:]))).to(logits.device)
            return logits.masked_fill(~kept, -float("inf"))

        lane.add_step("constraint", change)
        total = 0.0
        while not lane.ended:
            now = lane.now
            mask = allowed.mask(allowed.text(lane.new))
            if not mask.any():
                lane.stop(DEAD_END)
                return
            mass = float(now.probs.cpu().numpy()[mask].astype(float).sum())
            total += _log(mass)
            lane.take(lane.drawn(), score=total, reason=f"{100 * mass:.3g} % was left by the mask")

    def step(self, lane: "Lane") -> None:
        """Draw, where there is no constraint."""
        lane.take(lane.drawn())


def _log(value: float) -> float:
    import math

    return math.log(value) if value > 0 else -math.inf
