"""Products with chosen keys and sums of chosen values by the compiled kernel, on a CPU."""

import ctypes
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats import workers
from tokenarium.kernels.attention_stats.native.library import Chosen, Library

SMALL = 1 << 18
"""Below this many numbers of keys one worker is enough."""


def products(library: Library, q: Tensor, keys: Tensor, at: Tensor | None) -> Tensor:
    """Compute what ``tokenarium.kernels.gather_attention.rows.products`` documents."""
    width = keys.shape[1] if at is None else at.shape[1]
    out = torch.empty(*q.shape[:2], width)
    q, keys, at = _lined(q), _lined(keys), None if at is None else at.long().contiguous()
    given = ctypes.byref(_given(q, keys, at, out, keys.shape[-1], width))
    numbers = q.shape[0] * width * keys.shape[-1]
    share = 1 if numbers < SMALL else min(torch.get_num_threads(), width)
    if share == 1:
        library.chosen_products(given, 0, width)
    else:
        edges = [n * width // share for n in range(share + 1)]
        jobs = [partial(library.chosen_products, given, *edge) for edge in pairwise(edges)]
        workers.run(jobs, share)
    return out


def sums(library: Library, weights: Tensor, values: Tensor, at: Tensor) -> Tensor:
    """Compute what ``tokenarium.kernels.gather_attention.rows.sums`` documents."""
    out = torch.empty(*weights.shape[:2], values.shape[-1])
    weights, values, at = _lined(weights), _lined(values), at.long().contiguous()
    given = _given(weights, values, at, out, values.shape[-1], at.shape[1])
    library.chosen_sums(ctypes.byref(given))
    return out


def _lined(rows: Tensor) -> Tensor:
    return rows if rows.stride(-1) == 1 else rows.contiguous()


def _given(
    q: Tensor, rows: Tensor, at: Tensor | None, out: Tensor, size: int, width: int
) -> Chosen:
    return Chosen(
        q=q.data_ptr(),
        rows=rows.data_ptr(),
        at=None if at is None else at.data_ptr(),
        out=out.data_ptr(),
        groups=q.shape[0],
        count=q.shape[1],
        size=size,
        width=width,
        q_group=q.stride(0),
        q_row=q.stride(1),
        group=rows.stride(0) if rows.dim() == 3 else 0,
        row=rows.stride(-2),
    )
