"""Choosing the entries of a layer in blocks: consecutive ones, read together or not at all.

Blocks are counted from the first entry of a head; the newest block may hold fewer entries. A head
that drops nothing has its entries at their positions, so that blocks are parts of the text.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenarium.backend.cache.layer_view import Choice, LayerView
from tokenarium.backend.cache.terms import Protected, Scope
from tokenarium.backend.cache.topk import best


def count_of(entries: int, block: int) -> int:
    """Return how many blocks so many entries are."""
    return -(-entries // block)


def most_blocks(newest: int, block: int) -> int:
    """Return the most blocks over which so many newest entries can spread."""
    return (newest + block - 2) // block + 1


def by_block(values: Tensor, block: int, fill: float) -> Tensor:
    """Return values [G, S] of entries as [G, B, block]; ``fill`` stands where there is none."""
    blocks = count_of(values.shape[1], block)
    padded = F.pad(values, (0, blocks * block - values.shape[1]), value=fill)
    found: Tensor = padded.unflatten(1, (blocks, block))
    return found


def of_entries(scores: Tensor, block: int, entries: int) -> Tensor:
    """Return [G, S] the score of the block in which each entry lies, from scores [G, B]."""
    return scores.repeat_interleave(block, 1)[:, :entries]


def highest_blocks(
    scores: Tensor, view: LayerView, budget: int, protected: Protected, block: int, scope: Scope
) -> Choice:
    """Choose in each KV head as many blocks as fit into ``budget`` entries, the highest first.

    Ties go to the older block. Blocks with a protected entry come first, whatever their score.

    Args:
        scores: [G, B], higher is read.
        view: of a layer whose heads hold equally many entries.
        budget: entries per head.
        protected: first tokens of the text and newest entries that are always read.
        block: entries in a block.
        scope: whether the heads of the layer share one choice: then their mean score decides.
    """
    if scope != "head":
        scores = scores.float().mean(0, keepdim=True).expand_as(scores)
    entries = view.counts[0]
    own = scores.float().clone()
    own[:, : count_of(protected.first, block)] = float("inf")
    if protected.newest:
        own[:, max(0, entries - protected.newest) // block :] = float("inf")
    chosen = best(own, budget // block)
    return Choice(list(chosen), of_entries(scores, block, entries), block=block)


def entries_of(blocks: Tensor, block: int, entries: int) -> Tensor:
    """Return the ascending indices of the entries in ascending blocks [n] of a head."""
    if block == 1:
        return blocks
    every = (blocks[:, None] * block + torch.arange(block, device=blocks.device)).flatten()
    return every[every < entries]
