"""From scores to the entries that stay."""

from collections.abc import Sequence

from torch import Tensor

from tokenarium.backend.cache.entries import AllBut
from tokenarium.backend.cache.layer_cache import LayerCache
from tokenarium.backend.cache.terms import Scope


def highest(
    scores: Tensor, held: LayerCache, budget: int, protects: tuple[int, int], scope: Scope
) -> Sequence[Tensor]:
    """Return for each KV head the ascending indices of the ``budget`` entries with most score.

    Ties go to the older entry. Protected entries come first, whatever their score.

    Args:
        scores: [G, S], higher is kept.
        protects: (first tokens of the text, newest entries) that always stay.
        scope: whether the heads of the layer share one choice: then their mean score decides.
    """
    entries = held.entries
    share = 1 if scope == "head" else entries.groups // held.joined
    if share > 1:
        scores = scores.float().unflatten(0, (-1, share)).mean(1)
    held.scored = _for_heads(scores, share)
    if entries.even:
        count = entries.counts[0]
        own = _guarded(scores[:, :count], entries.rows("positions")[::share], protects)
        if count == budget + 1:  # every decode step comes here, so no sort
            gone = budget - own.flip(1).argmin(1, keepdim=True)
            return AllBut(_for_heads(gone, share), count)
        return list(_for_heads(_best(own, budget), share))
    rows = _for_heads(scores, share)
    guarded = (
        _guarded(rows[g : g + 1, :count], entries.head("positions", g)[None], protects)
        for g, count in enumerate(entries.counts)
    )
    return [_best(own, budget)[0] for own in guarded]


def _for_heads(rows: Tensor, share: int) -> Tensor:
    """Give every row to as many heads."""
    return rows if share == 1 else rows.repeat_interleave(share, 0)


def _guarded(scores: Tensor, positions: Tensor, protects: tuple[int, int]) -> Tensor:
    """Return scores [g, S] with those of protected entries infinite."""
    first, newest = protects
    own = scores.float()
    if first:
        own = own.masked_fill(positions < first, float("inf"))
    if newest:
        own = own.clone() if own is scores else own
        own[:, max(0, scores.shape[1] - newest) :] = float("inf")
    return own


def _best(scores: Tensor, budget: int) -> Tensor:
    """Return [g, n] ascending indices of the highest scores [g, S], by a threshold: no sort."""
    budget = min(budget, scores.shape[1])
    least = scores.topk(budget, 1, sorted=False).values.amin(1, keepdim=True)
    if least.isnan().any():  # no number counts as the lowest, but is the highest for ``topk``
        return _best(scores.nan_to_num(float("-inf"), float("inf"), float("-inf")), budget)
    kept = (scores >= least).nonzero()[:, 1]
    if len(kept) == len(scores) * budget:  # no ties at the threshold
        return kept.view(len(scores), budget)
    above, level = scores > least, scores == least
    spare = budget - above.sum(1, keepdim=True)
    chosen = above | (level & (level.cumsum(1) <= spare))
    return chosen.nonzero()[:, 1].view(len(scores), budget)
