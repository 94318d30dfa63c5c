"""A few queries with many keys, and sums of many values, read where they lie.

By a compiled kernel that copies nothing, for float32 on a CPU where attention statistics have one
(``tokenarium.kernels.attention_stats.paths``); else PyTorch, which gathers rows first.
"""

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats import paths
from tokenarium.kernels.attention_stats.native.library import Library
from tokenarium.kernels.gather_attention.native import chosen


@torch.inference_mode()
def products(q: Tensor, keys: Tensor, at: Tensor | None = None) -> Tensor:
    """Return what queries and keys multiply to, [G, n, m] in float32.

    Args:
        q: [G, n, D], the queries of each head of the cache.
        keys: [G, S, D], all of which are meant; with ``at`` [N, D].
        at: [G, m] int64 rows of the keys.
    """
    library = _library(q, keys)
    if library is not None:
        return chosen.products(library, q, keys, at)
    if at is not None:
        keys = keys.index_select(0, at.flatten()).unflatten(0, at.shape)
    return (q @ keys.mT).float()


@torch.inference_mode()
def sums(weights: Tensor, values: Tensor, at: Tensor) -> Tensor:
    """Return the sums of values by weight, [G, n, Dv] in the dtype of ``values``.

    Args:
        weights: [G, n, m] float32.
        values: [N, Dv].
        at: [G, m] int64 rows of the values.
    """
    library = _library(weights, values)
    if library is not None:
        return chosen.sums(library, weights, values, at)
    found = values.index_select(0, at.flatten()).unflatten(0, at.shape)
    summed: Tensor = weights.to(values.dtype) @ found
    return summed


def _library(one: Tensor, other: Tensor) -> Library | None:
    floats = one.dtype == other.dtype == torch.float32 and other.device.type == "cpu"
    return paths.chosen().library if floats and one.numel() and other.numel() else None
