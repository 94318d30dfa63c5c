"""Vocabulary statistics in PyTorch, row by row, on any device."""

import torch
from torch import Tensor


@torch.inference_mode()
def measure(
    logits: Tensor, top_k: int, targets: Tensor | None, against: Tensor | None
) -> dict[str, Tensor | None]:
    """Compute the fields of ``VocabStats``."""
    logits = logits.float()
    highest = logits.amax(-1, keepdim=True)
    # Measured from the highest logit, so that large logits lose no digits.
    shifted = logits - highest
    log_sum = torch.logsumexp(shifted, -1, keepdim=True)
    log_probs = shifted.sub_(log_sum)
    probs = log_probs.exp()
    entropy = -_weighted(probs, log_probs)
    ids, values = most_likely(logits, top_k)
    found: dict[str, Tensor | None] = {
        "logsumexp": (log_sum + highest)[:, 0],
        "entropy": entropy.clamp_min(0.0),
        "varentropy": _weighted(probs, (log_probs + entropy[:, None]).square_()),
        "top_ids": ids,
        "top_probs": (values - highest - log_sum).exp(),
        "surprisal": None,
        "rank": None,
        "divergence": None,
        "log_probs": log_probs,
    }
    if targets is not None:
        found["surprisal"] = -log_probs.gather(1, targets[:, None])[:, 0]
        found["rank"] = _rank(logits, targets)
    if against is not None:
        # Exact zero is the least a divergence can be; rounding may fall below it.
        found["divergence"] = _weighted(against.exp(), against - log_probs).clamp_min_(0.0)
    return found


def most_likely(logits: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Return ids and logits [R, k] by falling logit, ties by id.

    ``topk`` leaves ties in no order, also which of several equal ones it returns at the end.
    """
    values, ids = logits.topk(top_k)
    last = values[:, -1:]
    cut = (logits == last).sum(1) > (values == last).sum(1)
    if cut.any():
        order = logits[cut].argsort(dim=1, descending=True, stable=True)[:, :top_k]
        ids[cut], values[cut] = order, logits[cut].gather(1, order)
    by_id = ids.argsort(dim=1)
    ids, values = ids.gather(1, by_id), values.gather(1, by_id)
    by_value = values.argsort(dim=1, descending=True, stable=True)
    return ids.gather(1, by_value), values.gather(1, by_value)


def _rank(logits: Tensor, targets: Tensor) -> Tensor:
    own = logits.gather(1, targets[:, None])
    before = torch.arange(logits.shape[1], device=logits.device) < targets[:, None]
    return ((logits > own) | ((logits == own) & before)).sum(1)


def _weighted(weights: Tensor, values: Tensor) -> Tensor:
    """Sum of weights x values per row [R], where a weight of zero hides any value."""
    return torch.linalg.vecdot(weights, values.nan_to_num(nan=0.0, neginf=0.0))
