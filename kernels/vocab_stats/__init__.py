"""Entropy, surprisal, rank, most likely tokens and divergence of rows of logits."""

from torch import Tensor

from kernels.vocab_stats import reference
from kernels.vocab_stats.declaration import VocabStats

__all__ = ["VocabStats", "vocab_stats"]


def vocab_stats(
    logits: Tensor,
    *,
    targets: Tensor | None = None,
    top_k: int = 0,
    varentropy: bool = False,
    other: VocabStats | None = None,
    keep_probs: bool = False,
) -> VocabStats:
    """Reduce a chunk of rows; the caller chooses chunks small enough to hold.

    Args:
        logits: [R, V] of any float dtype, finite or -inf; computed in float32.
        targets: [R] ids whose surprisal and rank are wanted.
        top_k: how many of the likeliest tokens to return, at most V.
        varentropy: whether to compute the variance of -ln p.
        other: statistics of R rows made with ``keep_probs``, for KL(other || p).
        keep_probs: whether to return the probabilities too.
    Raises:
        ValueError: if ``top_k`` is not in 0..V, or ``other`` was made without ``keep_probs``.
    """
    if not 0 <= top_k <= logits.shape[1]:
        raise ValueError(
            f"top_k={top_k} is not between 0 and the vocabulary's {logits.shape[1]}: choose one "
            "in that range"
        )
    if other is not None and other.probs is None:
        raise ValueError("other has no probs: make it with keep_probs=True")
    return reference.vocab_stats(logits, targets, top_k, varentropy, other, keep_probs)
