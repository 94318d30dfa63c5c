"""Whether what a strategy builds on holds for a model, by earlier runs of that model."""

from collections.abc import Sequence

import numpy as np

from tokenarium.backend.decoding.result import DecodeResult

LEAST_STEPS = 8
"""Soft steps below which nothing is said."""


def soft_premise(results: Sequence[DecodeResult]) -> str:
    """Return whether a model reads mixtures of embeddings as it reads tokens, in words.

    Entropy right after soft steps is compared with that of plain decoding in the same runs; where
    it is higher by half, the premise does not hold.
    """
    soft: list[float] = []
    plain: list[float] = []
    for result in results:
        first, *others = result.lanes
        found = [
            lane.entropy_nats[1:][lane.token_ids[:-1] < 0]
            for lane in others
            if (lane.token_ids < 0).any()
        ]
        if found:
            soft += np.concatenate(found).tolist()
            plain += first.entropy_nats.tolist()
    if len(soft) < LEAST_STEPS or not plain:
        return "whether this model reads mixtures as tokens was not measured yet"
    after, usual = float(np.mean(soft)), float(np.mean(plain))
    said = f"after {len(soft)} mixtures in earlier runs the entropy was {after:.2f} nats, in plain "
    words = "its premise does not hold here" if after > 1.5 * usual else "its premise holds here"
    return f"{said}decoding {usual:.2f}: {words}"
