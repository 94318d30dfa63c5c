"""Statistics of rows of probabilities in PyTorch: see ``probabilities``."""

import torch
from torch import Tensor

from tokenarium.kernels.vocab_stats.declaration import ProbStats


def prob_stats(probs: Tensor, top_k: int, other: Tensor | None) -> ProbStats:
    """Compute what ``probabilities.prob_stats`` documents."""
    values, ids = probs.topk(top_k, -1)
    log_probs = probs.clamp_min(torch.finfo(probs.dtype).tiny).log_()
    entropy = (-(probs * log_probs).sum(-1)).clamp_min(0)
    if other is None:
        return ProbStats(entropy, ids, values)
    crossed = -(other * log_probs).sum(-1)
    lacking = ((probs == 0) & (other > 0)).any(-1)
    overlap = torch.minimum(probs, other).sum(-1)
    return ProbStats(entropy, ids, values, crossed.masked_fill(lacking, torch.inf), overlap)


def nearest_tokens(probs: Tensor, tokens: Tensor, count: int) -> Tensor:
    """Compute what ``probabilities.nearest_tokens`` documents."""
    vocabulary = probs.shape[-1]
    if probs.dtype != torch.float32 or not count:
        order = torch.sort(probs, dim=-1, descending=True, stable=True).indices
        place = (order == tokens[:, None]).int().argmax(-1)
        places = place[:, None] + torch.arange(-count, count + 1, device=probs.device)
        inside = (places >= 0) & (places < vocabulary)
        return order.gather(-1, places.clamp(0, vocabulary - 1)).where(inside, -1)
    # Row by row: what one row needs stays in a processor's cache.
    found = torch.stack([_around(row, at, count) for row, at in zip(probs, tokens, strict=True)])
    inside = (found >= 0) & (found < torch.iinfo(torch.int64).max)
    return (vocabulary - 1 - (found & 0xFFFFFFFF)).where(inside, -1)


def _around(probs: Tensor, token: Tensor, count: int) -> Tensor:
    """Return keys [2 n + 1] of a token and its neighbours under one distribution [V]; below 0 and
    the largest there is where there are none."""
    vocabulary = probs.shape[-1]
    # Bits of positive floats are ordered as the floats; the lower half orders equals.
    back = torch.arange(vocabulary - 1, -1, -1, device=probs.device)
    keys = (probs.contiguous().view(torch.int32).long() << 32).add_(back)
    own, most = keys[token], torch.iinfo(torch.int64).max
    some = min(count, vocabulary)
    above = keys.where(keys > own, most).topk(some, largest=False).values.flip(-1)
    below = keys.where(keys < own, -1).topk(some).values
    missing = count - some
    return torch.cat([above.new_full((missing,), most), above, own[None], below,
                      below.new_full((missing,), -1)])  # fmt: skip


_BLOCK = 256
"""Tokens whose mass is summed before any is looked at one by one."""
SMALL = 4 * _BLOCK
"""Vocabularies up to this are cumulated token by token."""


def draw(probs: Tensor, uniform: Tensor) -> Tensor:
    """Compute what ``probabilities.draw`` documents."""
    vocabulary = probs.shape[-1]
    if vocabulary <= SMALL:
        edges = probs.double().cumsum(-1)
        return _first_above(edges, edges[:, -1] * uniform)[0]
    whole = vocabulary // _BLOCK * _BLOCK
    masses = probs[:, :whole].unflatten(-1, (-1, _BLOCK)).sum(-1)
    if whole < vocabulary:
        masses = torch.cat([masses, probs[:, whole:].sum(-1, keepdim=True)], -1)
    edges = masses.double().cumsum(-1)
    block, inside = _first_above(edges, edges[:, -1] * uniform)
    tokens = block[:, None] * _BLOCK + torch.arange(_BLOCK, device=probs.device)
    within = probs.gather(-1, tokens.clamp_max(vocabulary - 1)).where(tokens < vocabulary, 0)
    found, _ = _first_above(within.double().cumsum(-1), inside)
    return block * _BLOCK + found


def _first_above(edges: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first of ascending edges [F, n] above ``reach`` [F], and how far it reaches in.

    The edge of what has no mass is that of the one before, so it is never first. Rounding may put
    ``reach`` a little outside, where it would find nothing, or the mass 0 at the start.
    """
    total = edges[:, -1]
    reach = torch.minimum(reach.clamp_min(0), torch.nextafter(total, torch.zeros_like(total)))
    index = torch.searchsorted(edges, reach[:, None], right=True)
    before = edges.gather(-1, (index - 1).clamp_min(0)).where(index > 0, 0)
    return index[:, 0], reach - before[:, 0]


def left_over(probs: Tensor, other: Tensor) -> Tensor:
    """Compute what ``probabilities.left_over`` documents."""
    return normalised((probs - other).clamp_(min=0), probs)


def normalised(masses: Tensor, otherwise: Tensor) -> Tensor:
    """Return masses [F, V] divided by their sum, in place; ``otherwise`` where they are all 0."""
    total = masses.sum(-1, keepdim=True)
    if bool((total > 0).all()):
        return masses.div_(total)
    return torch.where(total > 0, masses / total, otherwise)
