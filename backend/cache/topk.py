"""From scores to the entries that stay."""

import numpy as np
import torch
from torch import Tensor

from tokenarium.backend.cache.kept_indices import AllBut
from tokenarium.backend.cache.layer_view import Choice, LayerView
from tokenarium.backend.cache.terms import Protected, Scope


def highest(
    scores: Tensor, view: LayerView, budget: int, protected: Protected, scope: Scope
) -> Choice:
    """Choose in each KV head the ``budget`` entries with the highest scores.

    Ties go to the older entry. Protected entries come first, whatever their score.

    Args:
        scores: [G, S], higher is kept.
        protected: first tokens of the text and newest entries that always stay.
        scope: whether the heads of the layer share one choice: then their mean score decides.
    """
    share = 1 if scope == "head" else view.groups // view.stacked
    if share > 1:
        scores = scores.float().unflatten(0, (-1, share)).mean(1)
    every = _for_heads(scores, share)
    positions = view.positions
    if view.even:
        count = view.counts[0]
        own = _guarded(scores[:, :count], positions[::share], protected)
        if count == budget + 1:  # every decode step comes here, so no sort
            gone = budget - own.flip(1).argmin(1, keepdim=True)
            return Choice(AllBut(_for_heads(gone, share), count), every)
        return Choice(list(_for_heads(best(own, budget), share)), every)
    guarded = (
        _guarded(every[g : g + 1, :count], positions[g : g + 1, :count], protected)
        for g, count in enumerate(view.counts)
    )
    return Choice([best(own, budget)[0] for own in guarded], every)


def _for_heads(rows: Tensor, share: int) -> Tensor:
    """Give every row to as many heads."""
    if len(rows) == 1:  # no copy
        return rows.expand(share, -1)
    return rows if share == 1 else rows.repeat_interleave(share, 0)


def _guarded(scores: Tensor, positions: Tensor, protected: Protected) -> Tensor:
    """Return scores [g, S] with those of protected entries infinite."""
    first, newest = protected
    own = scores.float()
    if first or newest:
        own = own.clone() if own is scores else own
    if first:  # positions ascend, so that those below it are among as many
        own[:, :first].masked_fill_(positions[:, :first] < first, float("inf"))
    if newest:
        own[:, max(0, scores.shape[1] - newest) :] = float("inf")
    return own


def best(scores: Tensor, budget: int) -> Tensor:
    """Return [g, n] ascending indices of the highest scores [g, S], by a threshold: no sort."""
    budget = min(budget, scores.shape[1])
    least, odd = _threshold(scores, budget)
    if odd:  # no number counts as the lowest, but is the highest for ``topk``
        return best(scores.nan_to_num(float("-inf"), float("inf"), float("-inf")), budget)
    kept = (scores >= least).nonzero()[:, 1]
    if len(kept) == len(scores) * budget:  # no ties at the threshold
        return kept.view(len(scores), budget)
    above, level = scores > least, scores == least
    spare = budget - above.sum(1, keepdim=True)
    chosen = above | (level & (level.cumsum(1) <= spare))
    return chosen.nonzero()[:, 1].view(len(scores), budget)


def _threshold(scores: Tensor, budget: int) -> tuple[Tensor, bool]:
    """Return [g, 1] the lowest of the ``budget`` highest scores, and whether one is no number."""
    if scores.device.type != "cpu" or scores.dtype != torch.float32 or not budget:
        least = scores.topk(budget, 1, sorted=False).values.amin(1, keepdim=True)
        return least, bool(least.isnan().any())
    # NumPy partitions with vector instructions; what is no number comes last there as well.
    top = np.partition(scores.numpy(), -budget, axis=1)[:, -budget:]
    return torch.from_numpy(top[:, :1].copy()), bool(np.isnan(top).any())
