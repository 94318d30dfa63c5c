"""How often a small model would have said what the large one wrote: the premise of two models."""

from typing import TYPE_CHECKING

from tokenarium.backend.decoding.drawing import Drawing, Series
from tokenarium.backend.decoding.premise import LEAST_STEPS, Premise, too_short

if TYPE_CHECKING:
    from tokenarium.backend.decoding.lane import Lane

LEAST_SHARE = 0.5
"""Share of equal tokens below which a small model does not stand for the large one."""


def agreement(claim: str, lane: "Lane") -> Premise:
    """Let the small model read the text of plain decoding, and count equal likeliest tokens."""
    tokens = lane.calibration.tokens
    if len(tokens) < LEAST_STEPS:
        return too_short(claim, len(tokens))
    said = lane.second.along(tokens)
    same = [now.best == token for now, token in zip(said, tokens, strict=True)]
    share = sum(same) / len(same)

    def of(kind: bool) -> tuple[list[float], list[float]]:
        steps = [step for step, one in enumerate(same) if one is kind]
        return [float(step + 1) for step in steps], [said[step].entropy_nats for step in steps]

    return Premise(
        claim,
        f"along the text of plain decoding the small model's likeliest token is the one that was "
        f"taken at {sum(same)} of {len(same)} steps ({share:.0%})",
        share,
        LEAST_SHARE,
        below=False,
        drawing=Drawing(
            "Entropy of the small model along plain decoding",
            "step",
            "entropy of the small model, nats",
            (Series("says the same", *of(True)), Series("says another token", *of(False))),
        ),
    )
