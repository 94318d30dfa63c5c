"""Which earlier layers already say what the last one says: the premise of contrasting layers."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tokenarium.backend.decoding.drawing import Drawing, Series
from tokenarium.backend.decoding.premise import LEAST_STEPS, Premise, too_short

if TYPE_CHECKING:
    from tokenarium.backend.decoding.lane import Lane

MOST_READ = 48
"""Steps of plain decoding that are looked at, its first."""


def layers_agree(
    claim: str, lane: "Lane", candidates: Callable[[int], Sequence[int]], normed: bool
) -> Premise:
    """Compare the likeliest token of earlier layers with the last one's along plain decoding.

    The bound is what one token, always guessed, is right at, and one step more: a layer that knows
    nothing of the text does not reach it.

    Args:
        claim: what the strategy builds on.
        lane: at the end of the prompt; plain decoding is its calibration.
        candidates: from the number of layers to those, from 1, that are looked at.
        normed: whether the final norm is applied to earlier states.
    """
    tokens = lane.calibration.tokens[:MOST_READ]
    if len(tokens) < LEAST_STEPS:
        return too_short(claim, len(lane.calibration.tokens))
    stepper = lane.stepper
    stepper.feed(tokens)
    seen = stepper.seen().layers
    layers = [] if seen is None else [*candidates(len(seen))]
    if seen is None or len(seen) < 2:
        return Premise(claim, "the model has one layer: there is no earlier one")
    last = [int(row.argmax()) for row in stepper.rows_before(len(tokens))][1:]
    early = [
        stepper.early_logits(layers, normed, len(tokens) - 1 - place).argmax(-1).tolist()
        for place in range(len(tokens) - 1)
    ]
    steps = len(last)
    shares = (np.array(early) == np.array(last)[:, None]).mean(0)
    compared = [float(layer) for layer in layers]
    constant = Counter(last).most_common(1)[0][1] / steps
    best = int(shares.argmax())
    return Premise(
        claim,
        f"at {steps} steps of plain decoding layer {layers[best]} of {len(seen)} has the likeliest "
        f"token of the last at {shares[best]:.0%}, more than the other layers that are compared; "
        f"one token, always guessed, would at {constant:.0%}",
        float(shares[best]),
        constant + 1 / steps,
        below=False,
        drawing=Drawing(
            "Earlier layers that say what the last one says",
            "layer",
            "share of steps",
            (
                Series("layers that are compared", compared, shares.tolist()),
                Series("one token, always guessed", [compared[0], compared[-1]], [constant] * 2),
            ),
        ),
    )
