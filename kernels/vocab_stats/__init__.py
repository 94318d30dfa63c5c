"""Entropy, surprisal, rank, most likely tokens and divergence of rows of logits."""

from dataclasses import dataclass

from torch import Tensor

from kernels.vocab_stats import reference

__all__ = ["VocabStats", "vocab_stats"]


@dataclass(frozen=True)
class VocabStats:
    """Statistics of R distributions over V tokens, in float32; None where not asked for.

    ``logsumexp`` [R]; ``entropy`` [R] is -sum p ln p in nats; ``varentropy`` [R] is
    sum p (-ln p - entropy)^2 in nats^2; ``surprisal`` [R] is -ln p of the target in nats and
    ``rank`` [R] the number of tokens before it by falling p, ties by id; ``top_ids`` and
    ``top_probs`` [R, k] are by falling p, ties by id; ``divergence`` [R] is KL(against || row) in
    nats; ``log_probs`` [R, V].
    """

    logsumexp: Tensor
    entropy: Tensor
    varentropy: Tensor
    surprisal: Tensor | None
    rank: Tensor | None
    top_ids: Tensor
    top_probs: Tensor
    divergence: Tensor | None
    log_probs: Tensor


def vocab_stats(
    logits: Tensor,
    *,
    top_k: int,
    targets: Tensor | None = None,
    against: Tensor | None = None,
) -> VocabStats:
    """Measure each row of logits.

    Args:
        logits: [R, V], any floating dtype; computed in float32.
        top_k: most likely tokens to return, 1 to V.
        targets: [R] ids whose surprisal and rank are wanted.
        against: [R, V] log-probabilities, the first argument of the divergence.
    Raises:
        ValueError: if top_k is not between 1 and V.
    """
    if not 1 <= top_k <= logits.shape[1]:
        raise ValueError(
            f"top_k={top_k} is not between 1 and the vocabulary's {logits.shape[1]}: choose one "
            "in that range"
        )
    return VocabStats(**reference.measure(logits, top_k, targets, against))
