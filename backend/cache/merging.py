"""Entries that are no single token: several of them in one, which counts for as many.

n entries with the same key k and value v weigh n e^(q k) together. One entry of their mean key and
value whose logit is q k + ln n is exactly them where they are equal (proportional attention: Bolya
et al., 2022, arXiv:2210.09461).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenarium.backend.cache.entries import Entries

MERGED = "merged"
"""Name of the number per entry: how many others are a part of it, n - 1; 0 for new entries."""


def begin(entries: Entries) -> None:
    """Note that every entry is one token, before any is merged."""
    entries.put(MERGED, torch.zeros_like(entries.rows("positions"), dtype=torch.float32))


def merge(entries: Entries, into: Sequence[Tensor]) -> None:
    """Make every entry that others become a part of the mean of them all, by how many each is.

    Args:
        entries: of one layer, before those that became a part of others are dropped.
        into: G indices [S_g] of the entry that each becomes a part of; -1 for none.
    """
    counts = entries.rows(MERGED).clone()
    for g, rows in enumerate(into):
        own = slice(0, entries.counts[g])
        part = rows >= 0
        target = rows[part]
        weights = 1 + counts[g, own]
        total = torch.zeros_like(weights).index_add_(0, target, weights[part])
        several = torch.zeros_like(rows).index_add_(0, target, torch.ones_like(target)) > 1
        for name in ("keys", "values"):
            held = entries.head(name, g)
            parts = held[part].float() * weights[part, None]
            sums = torch.zeros_like(held, dtype=torch.float32).index_add_(0, target, parts)
            held[several] = (sums[several] / total[several, None]).to(held.dtype)
        counts[g, own] = torch.where(total > 0, total, weights) - 1
    entries.put(MERGED, counts)


def log_counts(entries: Entries) -> Tensor | None:
    """Return [N] ln n, what the logit of each row is raised by; None where nothing is merged."""
    if MERGED not in entries.buffers:
        return None
    return torch.log1p(entries.buffers[MERGED])
