"""Statistics of rows of probabilities by the compiled kernel."""

import ctypes

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats.native.library import Library, Probs
from tokenarium.kernels.vocab_stats.declaration import ProbStats


def prob_stats(library: Library, probs: Tensor, top_k: int, other: Tensor | None) -> ProbStats:
    """Compute what ``probabilities.prob_stats`` documents, of float32 on a CPU."""
    probs = probs if probs.stride(-1) == 1 else probs.contiguous()
    if other is not None and other.stride(-1) != 1:
        other = other.contiguous()
    count, vocabulary = probs.shape
    entropy, crossed, overlap = torch.empty(3, count)
    top_ids = torch.empty(count, top_k, dtype=torch.int64)
    top_probs = torch.empty(count, top_k)
    rows = Probs(
        probs=probs.data_ptr(),
        other=None if other is None else other.data_ptr(),
        entropy=entropy.data_ptr(),
        crossed=crossed.data_ptr(),
        overlap=overlap.data_ptr(),
        top_probs=top_probs.data_ptr(),
        top_ids=top_ids.data_ptr(),
        vocabulary=vocabulary,
        stride=probs.stride(0),
        other_stride=0 if other is None else other.stride(0),
        k=top_k,
    )
    library.prob_rows(ctypes.byref(rows), 0, count)
    if other is None:
        return ProbStats(entropy, top_ids, top_probs)
    return ProbStats(entropy, top_ids, top_probs, crossed, overlap)


def nearest_tokens(library: Library, probs: Tensor, tokens: Tensor, count: int) -> Tensor:
    """Compute what ``probabilities.nearest_tokens`` documents, of float32 on a CPU."""
    probs = probs if probs.stride(-1) == 1 else probs.contiguous()
    ids = torch.empty(len(probs), 2 * count + 1, dtype=torch.int64)
    for row, token, found in zip(probs, tokens.tolist(), ids, strict=True):
        library.nearest(row.data_ptr(), len(row), token, count, found.data_ptr())
    return ids


def draw(library: Library, probs: Tensor, uniform: Tensor) -> Tensor:
    """Compute what ``probabilities.draw`` documents, of float32 on a CPU."""
    probs = probs if probs.stride(-1) == 1 else probs.contiguous()
    size = probs.shape[-1]
    found = [
        library.drawn(row.data_ptr(), size, at)
        for row, at in zip(probs, uniform.tolist(), strict=True)
    ]
    return torch.tensor(found, dtype=torch.long)


def left_over(library: Library, probs: Tensor, other: Tensor) -> Tensor:
    """Compute what ``probabilities.left_over`` documents, of float32 on a CPU."""
    probs, other = (each if each.stride(-1) == 1 else each.contiguous() for each in (probs, other))
    found = torch.empty(probs.shape)
    for row, beside, out in zip(probs, other, found, strict=True):
        library.left_over(row.data_ptr(), beside.data_ptr(), len(row), out.data_ptr())
    return found
