"""Statistics of rows of logits, from one softmax per row, in PyTorch on any device.

With x the logits less the row's highest and Z = sum exp x, the highest probability is 1 / Z, so
ln Z costs no exponential and ln p = x - ln Z needs none either.
"""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from tokenarium.kernels.vocab_stats.declaration import VocabStats

BLOCK_LOGITS = 1 << 19
"""Logits taken at once on a CPU: what a dozen passes read again and again then stays in cache."""
LOWEST = -1e18  # finite, squared too: a probability of zero times infinity would be NaN


@torch.inference_mode()
def vocab_stats(
    logits: Tensor,
    targets: Tensor | None,
    top_k: int,
    varentropy: bool,
    other: VocabStats | None,
    keep_probs: bool,
) -> VocabStats:
    """Compute what ``tokenarium.kernels.vocab_stats`` documents."""
    count, vocabulary = logits.shape
    rows = max(1, BLOCK_LOGITS // vocabulary)
    if logits.device.type != "cpu" or count <= rows:
        return _rows(logits, targets, top_k, varentropy, other, keep_probs)
    found = []
    for start in range(0, count, rows):
        at = slice(start, start + rows)
        beside = None if other is None else other.rows(at)
        target = None if targets is None else targets[at]
        found.append(_rows(logits[at], target, top_k, varentropy, beside, keep_probs))
    return _joined(found)


def _joined(stats: list[VocabStats]) -> VocabStats:
    """Return the statistics of all rows, one after another."""
    made: dict[str, Any] = {}
    for field in fields(VocabStats):
        values = [getattr(part, field.name) for part in stats]
        made[field.name] = None if values[0] is None else torch.cat(values)
    return VocabStats(**made)


def _rows(
    logits: Tensor,
    targets: Tensor | None,
    top_k: int,
    varentropy: bool,
    other: VocabStats | None,
    keep_probs: bool,
) -> VocabStats:
    logits = logits.float()
    highest = logits.amax(-1, keepdim=True)
    x = (logits - highest).clamp_min_(LOWEST)
    probs = torch.softmax(x, -1)
    log_sum = -probs.amax(-1).log()
    mean = torch.linalg.vecdot(probs, x)
    entropy = log_sum - mean
    surprisal = rank = top_ids = top_probs = spread = kl = None
    if targets is not None:
        target = targets[:, None]
        surprisal = log_sum + (highest - logits.gather(1, target))[:, 0]
        rank = _rank(logits, target)
    if top_k:
        top_ids = top(logits, top_k)
        top_probs = probs.gather(1, top_ids)
    if other is not None:
        assert other.probs is not None
        kl = log_sum - torch.linalg.vecdot(other.probs, x) - other.entropy
        kl.clamp_min_(0)  # between equal rows it comes out as a rounding error of either sign
    if varentropy:
        spread = torch.linalg.vecdot(probs, x.sub_(mean[:, None]).square_())
    return VocabStats(
        logsumexp=highest[:, 0] + log_sum,
        entropy=entropy,
        varentropy=spread,
        surprisal=surprisal,
        rank=rank,
        top_ids=top_ids,
        top_probs=top_probs,
        kl=kl,
        probs=probs if keep_probs else None,
    )


def _rank(logits: Tensor, target: Tensor) -> Tensor:
    """How many of each row's logits [R, V] come before the target's [R, 1], ties by id."""
    chosen = logits.gather(1, target)
    counted = torch.empty_like(logits)  # as floats, comparisons and their sums are vectorised
    rank = torch.gt(logits, chosen, out=counted).sum(-1).long()
    tied = (torch.eq(logits, chosen, out=counted).sum(-1) > 1).nonzero()[:, 0]
    if len(tied):
        earlier = torch.arange(logits.shape[1], device=logits.device) < target[tied]
        rank[tied] += (earlier & (logits[tied] == chosen[tied])).sum(-1)
    return rank


def top(logits: Tensor, k: int) -> Tensor:
    """Ids of the k highest logits [R, k], ties by id."""
    if k == 1:
        return logits.argmax(-1, keepdim=True)  # the first of equals
    values, ids = logits.topk(min(k + 1, logits.shape[1]))
    tied = (values[:, 1:] == values[:, :-1]).any(-1)
    ids = ids[:, :k]
    if bool(tied.any()):  # common in bfloat16; topk takes equals in no stated order
        ids[tied] = _order(logits[tied]).topk(k).indices
    return ids


def _order(logits: Tensor) -> Tensor:
    """Integers that order as the logits do, and equals by falling id."""
    bits = (logits + 0.0).view(torch.int32)  # adding zero turns -0.0 into 0.0
    bits ^= (bits >> 31) & 0x7FFFFFFF  # negative floats count down: turn them round
    ids = torch.arange(logits.shape[1], device=logits.device)
    return (bits.long() << 32) + (logits.shape[1] - ids)
