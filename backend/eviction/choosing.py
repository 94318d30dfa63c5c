"""From scores to the entries that stay."""

import torch
from torch import Tensor

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
        scores = scores.float().mean(0, keepdim=True).expand(entries.groups, -1)
    first, newest = protects
    kept = []
    for g, count in enumerate(entries.counts):
        own = scores[g, :count].float().clone()
        own[entries.head("positions", g) < first] = float("inf")
        own[max(0, count - newest) :] = float("inf")
        order = torch.argsort(own, descending=True, stable=True)[:budget]
        kept.append(order.sort().values)
    return kept
