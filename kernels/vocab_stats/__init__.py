"""Entropy, surprisal, rank, most likely tokens and divergence of rows of logits."""

from functools import partial

from torch import Tensor

from tokenarium.kernels.attention_stats import paths
from tokenarium.kernels.device import why_not_triton
from tokenarium.kernels.vocab_stats import reference
from tokenarium.kernels.vocab_stats.declaration import ProbStats, VocabStats
from tokenarium.kernels.vocab_stats.native import rows
from tokenarium.kernels.vocab_stats.prob_reference import normalised
from tokenarium.kernels.vocab_stats.probabilities import (
    draw,
    left_over,
    nearest_tokens,
    prob_stats,
)

__all__ = [
    "ProbStats",
    "VocabStats",
    "draw",
    "left_over",
    "nearest_tokens",
    "normalised",
    "prob_stats",
    "vocab_stats",
]


def vocab_stats(
    logits: Tensor,
    *,
    targets: Tensor | None = None,
    top_k: int = 0,
    varentropy: bool = False,
    other: VocabStats | None = None,
    other_logits: Tensor | None = None,
    keep_probs: bool = False,
) -> VocabStats:
    """Reduce a chunk of rows; the caller chooses chunks small enough to hold.

    On a CPU a compiled kernel does it where attention statistics have one, else PyTorch.

    Args:
        logits: [R, V] of any float dtype, finite or -inf; computed in float32.
        targets: [R] ids whose surprisal and rank are wanted.
        top_k: how many of the likeliest tokens to return, at most V.
        varentropy: whether to compute the variance of -ln p.
        other: statistics of R rows made with ``keep_probs``, for KL(other || p).
        other_logits: [R, V] in place of ``other``, so that nobody keeps probabilities.
        keep_probs: whether to return the probabilities too.
    Raises:
        ValueError: if ``top_k`` is not in 0..V, ``other`` was made without ``keep_probs``, or
            ``other_logits`` has another shape or comes beside ``other``.
    """
    if not 0 <= top_k <= logits.shape[1]:
        raise ValueError(
            f"top_k={top_k} is not between 0 and the vocabulary's {logits.shape[1]}: choose one "
            "in that range"
        )
    if other is not None and other.probs is None:
        raise ValueError("other has no probs: make it with keep_probs=True")
    if other_logits is not None and (other is not None or other_logits.shape != logits.shape):
        raise ValueError(
            f"other_logits {tuple(other_logits.shape)} must have the shape {tuple(logits.shape)} "
            "of logits and stand alone: give either other or other_logits"
        )
    if why_not_triton(logits.device) is None:
        from tokenarium.kernels.vocab_stats import triton  # not installed everywhere

        return triton.vocab_stats(
            logits, targets, top_k, varentropy, other, other_logits, keep_probs
        )
    library = paths.chosen().library if logits.device.type == "cpu" else None
    reduced = reference.vocab_stats if library is None else partial(rows.vocab_stats, library)
    if other_logits is not None:
        other = reduced(other_logits, None, 0, False, None, keep_probs=True)
    return reduced(logits, targets, top_k, varentropy, other, keep_probs)
