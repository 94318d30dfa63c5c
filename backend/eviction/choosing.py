"""From scores to the entries that stay."""

from torch import Tensor

from backend.eviction.entries import AllBut
from backend.eviction.held import Held
from backend.eviction.policy import Scope


def highest(
    scores: Tensor, held: Held, budget: int, protects: tuple[int, int], scope: Scope
) -> list[Tensor]:
    """Return for each KV head the ascending indices of the ``budget`` entries with most score.

    Ties go to the older entry. Protected entries come first, whatever their score.

    Args:
        scores: [G, S], higher is kept.
        protects: (first tokens of the text, newest entries) that always stay.
        scope: whether the heads of the layer share one choice: then their mean score decides.
    """
    entries = held.entries
    if scope != "head":
        scores = scores.float().mean(0, keepdim=True)
    held.scored = scores.expand(entries.groups, -1)
    if entries.even:
        count = entries.counts[0]
        positions = entries.rows("positions")[: len(scores)]
        own = _guarded(scores[:, :count], positions, protects)
        if count == budget + 1:  # every decode step comes here, so no sort
            gone = budget - own.flip(1).argmin(1, keepdim=True)
            return AllBut(gone.expand(entries.groups, 1), count)
        return list(_best(own, budget).expand(entries.groups, -1))
    rows = scores.expand(entries.groups, -1)
    guarded = (
        _guarded(rows[g : g + 1, :count], entries.head("positions", g)[None], protects)
        for g, count in enumerate(entries.counts)
    )
    return [_best(own, budget)[0] for own in guarded]


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
    least = scores.topk(budget, 1).values[:, -1:]
    above, level = scores > least, scores == least
    spare = budget - above.sum(1, keepdim=True)
    kept = above | (level & (level.cumsum(1) <= spare))
    return kept.nonzero()[:, 1].view(len(scores), budget)
