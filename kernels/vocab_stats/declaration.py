"""What comes back for rows of logits."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class VocabStats:
    """Statistics of N next-token distributions, in float32 and nats.

    ``logsumexp``, ``entropy`` and ``varentropy`` [N]; ``surprisal`` and ``rank`` [N] belong to the
    given targets; ``top_ids`` and ``top_probs`` [N, k] fall in probability, ties by id; ``kl`` [N]
    is KL(other || this); ``probs`` [N, V] only where it was asked for. What was not wanted is None.
    """

    logsumexp: Tensor
    entropy: Tensor
    varentropy: Tensor | None = None
    surprisal: Tensor | None = None
    rank: Tensor | None = None
    top_ids: Tensor | None = None
    top_probs: Tensor | None = None
    kl: Tensor | None = None
    probs: Tensor | None = None
