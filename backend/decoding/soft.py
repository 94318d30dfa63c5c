"""Soft steps: a mixture of embeddings is read in place of a token."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tokenarium.backend.decoding.lane import Lane

SHOWN = 3
"""Heaviest tokens of a mixture that stand in the journal."""


def mixture(
    probs: Tensor, most: int, least: float = 0.0, temperature: float = 1.0
) -> tuple[list[int], Tensor]:
    """Return the tokens of a mixture, heaviest first, and their weights [k] of sum 1.

    Args:
        probs: [V].
        most: tokens that are mixed.
        least: share of the heaviest one's probability below which tokens are left out.
        temperature: exponent 1 / temperature of the probabilities.
    """
    top = torch.sort(probs, descending=True, stable=True)
    values, ids = top.values[:most], top.indices[:most]
    kept = (values > 0) & (values >= least * values[0])
    weights = (values[kept] / values[0]).pow(1 / temperature)
    return ids[kept].tolist(), weights / weights.sum()


def embedding_of(lane: "Lane", tokens: Sequence[int], weights: Tensor) -> Tensor:
    """Return the weighted mean embedding [hidden] of tokens, in the model's number format."""
    table = lane.stepper.embed(tokens)
    return (weights.to(table.dtype) @ table).to(table.dtype)


def take_mixture(lane: "Lane", tokens: Sequence[int], weights: Tensor, embedding: Tensor) -> None:
    """Read an embedding as the next step; the journal has the tokens it is mixed from."""
    heaviest = ", ".join(
        f"{lane.spell([token])!r} {float(weight):.2f}"
        for token, weight in zip(tokens[:SHOWN], weights[:SHOWN], strict=True)
    )
    lane.consider(tokens[:SHOWN], weights[:SHOWN].tolist(), "share of the mixture")
    lane.take_embedding(embedding, score=float(weights[0]), reason=f"mixture of {heaviest}")
