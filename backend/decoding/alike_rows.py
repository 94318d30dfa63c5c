"""Whether tokens rank high because their unembedding rows are alike: the premise of key space."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from tokenarium.backend.decoding.drawing import Drawing, Series
from tokenarium.backend.decoding.premise import LEAST_STEPS, Premise, too_short

if TYPE_CHECKING:
    from tokenarium.backend.decoding.lane import Lane

MOST_READ = 24
"""Steps of plain decoding that are looked at, its first."""
RANDOM = 200
"""Tokens drawn at random beside the ranked ones."""
RANKS = 16
"""Ranks that are looked at, evenly by their logarithm."""


def alike_rows(claim: str, lane: "Lane") -> Premise:
    """Compare cosines with the likeliest token's row: of middle ranks, and of random tokens.

    Middle ranks are those between the fourth root of the vocabulary's size and that of its cube:
    our own reading. The premise holds where their mean cosine is above that of random tokens by
    two standard errors over steps.

    Args:
        claim: what the strategy builds on.
        lane: at the end of the prompt; plain decoding is its calibration.
    """
    tokens = lane.calibration.tokens[:MOST_READ]
    if len(tokens) < LEAST_STEPS:
        return too_short(claim, len(lane.calibration.tokens))
    stepper = lane.stepper
    stepper.feed(tokens)
    keys = torch.nn.functional.normalize(stepper.vocabulary_keys().float(), dim=-1)
    size = len(keys)
    others = lane.random.integers(0, size, RANDOM)
    ranks = np.unique(np.geomspace(1, size - 1, RANKS).round().astype(int))
    of_rank, of_random = [], []
    for row in stepper.rows_before(len(tokens)):
        order = row[:size].sort(descending=True, stable=True).indices
        query = keys[order[0]]
        of_rank.append((keys[order[torch.as_tensor(ranks)]] @ query).cpu().numpy())
        of_random.append(float((keys[torch.as_tensor(others)] @ query).mean()))
    cosines, random = np.array(of_rank, np.float64), np.array(of_random)
    middle = (ranks >= size**0.25) & (ranks <= size**0.75)
    gaps = cosines[:, middle].mean(1) - random
    error = float(gaps.std(ddof=1) / np.sqrt(len(gaps)))
    return Premise(
        claim,
        f"rows of middle ranks ({ranks[middle][0]} to {ranks[middle][-1]}) have a mean cosine of "
        f"{cosines[:, middle].mean():.3f} with the likeliest token's, rows of random tokens "
        f"{random.mean():.3f}; the standard error of the difference is {error:.3f}",
        float(gaps.mean()),
        2 * error,
        below=False,
        drawing=Drawing(
            "Cosine with the row of the likeliest token",
            "log10 of the rank, from 0",
            "mean cosine",
            (
                Series("by rank", np.log10(ranks).tolist(), cosines.mean(0).tolist()),
                Series(
                    "random tokens", np.log10(ranks[[0, -1]]).tolist(), [float(random.mean())] * 2
                ),
            ),
        ),
    )
