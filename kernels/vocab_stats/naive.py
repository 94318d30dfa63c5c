"""The same statistics from their definitions: what the tests compare with."""

import torch
from torch import Tensor

from tokenarium.kernels.vocab_stats.declaration import VocabStats


def vocab_stats(logits: Tensor, *, targets: Tensor, top_k: int, other: Tensor) -> VocabStats:
    """Compute everything for ``logits`` [R, V], with KL from the distribution of ``other``."""
    log_probs = torch.log_softmax(logits.float(), -1)
    probs = log_probs.exp()
    entropy = torch.special.entr(probs).sum(-1)
    order = logits.float().sort(descending=True, stable=True).indices
    before = torch.log_softmax(other.float(), -1)
    surprise = (-log_probs - entropy[:, None]).nan_to_num(posinf=0.0)
    return VocabStats(
        logsumexp=logits.float().logsumexp(-1),
        entropy=entropy,
        varentropy=(probs * surprise**2).sum(-1),
        surprisal=-log_probs.gather(1, targets[:, None])[:, 0],
        rank=(order == targets[:, None]).nonzero()[:, 1],
        top_ids=order[:, :top_k],
        top_probs=probs.gather(1, order[:, :top_k]),
        kl=(before.exp() * (before - log_probs)).sum(-1),
        probs=probs,
    )
