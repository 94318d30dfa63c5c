"""Entropy, likeliest tokens, overlap, cross entropy and neighbours of rows of probabilities."""

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats import paths
from tokenarium.kernels.attention_stats.native.library import Library
from tokenarium.kernels.vocab_stats import prob_reference
from tokenarium.kernels.vocab_stats.declaration import ProbStats
from tokenarium.kernels.vocab_stats.native import probs as native


@torch.inference_mode()
def prob_stats(probs: Tensor, top_k: int = 0, other: Tensor | None = None) -> ProbStats:
    """Describe rows of probabilities, beside another distribution each where one is given.

    By a compiled kernel for float32 on a CPU where attention statistics have one, else PyTorch.

    Args:
        probs: [R, V], none below 0.
        top_k: how many of the likeliest tokens to return; V where that is less.
        other: [R, V] r, of the same type.
    """
    top_k, library = min(top_k, probs.shape[-1]), _library(probs)
    if library is None:
        return prob_reference.prob_stats(probs, top_k, other)
    return native.prob_stats(library, probs, top_k, other)


@torch.inference_mode()
def nearest_tokens(probs: Tensor, tokens: Tensor, count: int) -> Tensor:
    """Return each token and its neighbours by probability, ids [R, 2 count + 1], likeliest first.

    The token stands in the middle, ``count`` before it and after it in the order of falling
    probability, of equals the lower id first; -1 where there are fewer. Probabilities .2, .5, .3
    and token 2 with one neighbour give [1, 2, 0].

    Args:
        probs: [R, V]
        tokens: [R] ids.
        count: of neighbours to each side.
    """
    library = _library(probs)
    if library is None:
        return prob_reference.nearest_tokens(probs, tokens, count)
    return native.nearest_tokens(library, probs, tokens, count)


@torch.inference_mode()
def draw(probs: Tensor, uniform: Tensor) -> Tensor:
    """Return the tokens [R] where cumulated rows pass ``uniform`` of their sum; none has mass 0.

    Args:
        probs: [R, V], not necessarily of sum 1.
        uniform: [R] numbers in [0, 1), float64.
    """
    library = _library(probs) if probs.shape[-1] > prob_reference.SMALL else None
    if library is None:
        return prob_reference.draw(probs, uniform)
    return native.draw(library, probs, uniform)


@torch.inference_mode()
def left_over(probs: Tensor, other: Tensor) -> Tensor:
    """Return the distributions [R, V] proportional to max(0, probs - other).

    Where that is 0 everywhere ``probs`` is returned.
    """
    library = _library(probs) if probs.shape[-1] > prob_reference.SMALL else None
    if library is None or other.dtype != probs.dtype:
        return prob_reference.left_over(probs, other)
    return native.left_over(library, probs, other)


def _library(probs: Tensor) -> Library | None:
    if probs.dtype != torch.float32 or probs.device.type != "cpu":
        return None
    return paths.chosen().library
