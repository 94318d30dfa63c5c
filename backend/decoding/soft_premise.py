"""Whether a model stays as sure while it reads mixtures of embeddings as while it reads tokens."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from tokenarium.backend.decoding.drawing import Drawing, Series
from tokenarium.backend.decoding.next_token import NextToken
from tokenarium.backend.decoding.premise import LEAST_STEPS, Premise, too_short

if TYPE_CHECKING:
    from tokenarium.backend.decoding.lane import Lane

MOST_MIXTURES = 16
"""Mixtures that are read one after another."""
MOST_RATIO = 1.5
"""Entropy along mixtures over that along tokens up to which the premise holds: our own line."""


def read_as_tokens(
    claim: str, lane: "Lane", mixed: Callable[[NextToken], Tensor | None]
) -> Premise:
    """Read mixtures one after another, and compare the entropy with plain decoding's, step by step.

    One mixture alone does little harm, a chain of them may: each is far from any token, and so is
    what the next one is mixed from.

    Args:
        claim: what the strategy builds on.
        lane: at the end of the prompt; plain decoding is its calibration.
        mixed: the embedding [hidden] that a distribution asks for; None where it is one token's.
    """
    plain = lane.calibration.entropy_nats.tolist()
    stepper, found = lane.stepper, list[float]()
    mixtures = 0
    while len(found) < min(MOST_MIXTURES, len(plain) - 1):
        now = lane.next_token(stepper.logits, [*stepper.ids])
        if now.best in lane.ends:
            break
        embedding = mixed(now)
        if embedding is None:
            stepper.feed([now.best])
        else:
            stepper.feed([-1], embedding[None])
        mixtures += embedding is not None
        found.append(lane.next_token(stepper.logits, [*stepper.ids]).entropy_nats)
    if len(found) < LEAST_STEPS:
        return too_short(claim, len(found))
    if mixtures * 2 < len(found):
        few = f"at {mixtures} of {len(found)} steps more than one token is mixed"
        return Premise(claim, f"{few}, at least half are needed to measure it")
    soft, hard = np.array(found), np.array(plain[1 : len(found) + 1])
    half = len(found) // 2
    steps = [float(step + 2) for step in range(len(found))]
    return Premise(
        claim,
        f"along {mixtures} mixtures one after another the mean entropy is {soft.mean():.2f} nats, "
        f"at the same steps of plain decoding {hard.mean():.2f}; in the later half "
        f"{soft[half:].mean():.2f} against {hard[half:].mean():.2f}",
        float(soft.mean() / max(float(hard.mean()), 1e-6)),
        MOST_RATIO,
        drawing=Drawing(
            "Entropy after tokens, and after mixtures from the first step on",
            "step",
            "entropy, nats",
            (
                Series("plain decoding", steps, hard.tolist()),
                Series("mixtures", steps, soft.tolist()),
            ),
        ),
    )
