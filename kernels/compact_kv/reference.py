"""Compaction in PyTorch: one gather for all heads where they keep equally many."""

import ctypes
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


@torch.inference_mode()
def compact_kv(
    buffer: Tensor, starts: Sequence[int], kept: Sequence[Tensor] | Tensor, places: Sequence[int]
) -> None:
    """Compute what ``tokenarium.kernels.compact_kv`` documents."""
    stride = _stride(starts, places)
    if isinstance(kept, Tensor) and stride:
        heads, count = kept.shape
        first = torch.arange(heads, device=buffer.device)[:, None] * stride + starts[0]
        found = buffer.index_select(0, (kept + first).flatten())
        shape, steps = (heads, count, *buffer.shape[1:]), buffer.stride()
        target = buffer.as_strided(shape, (stride * steps[0], *steps), places[0] * steps[0])
        target.copy_(found.view(shape))
        return
    for start, rows, place in zip(starts, kept, places, strict=True):
        buffer[place : place + len(rows)] = buffer.index_select(0, rows + start)


def _stride(starts: Sequence[int], places: Sequence[int]) -> int:
    """Return the rows from one head to the next, or 0 where that differs between heads."""
    steps = {b - a for offsets in (starts, places) for a, b in pairwise(offsets)}
    if len(starts) == 1:
        return 1
    return steps.pop() if len(steps) == 1 else 0


def close_gaps(
    buffer: Tensor, starts: Sequence[int], count: int, gone: Sequence[Sequence[int]], up: bool
) -> None:
    """Compute what ``tokenarium.kernels.compact_kv.close_gaps`` documents.

    Rows move over themselves, which PyTorch's copies do not allow: a gather would write them twice.
    """
    row = buffer.stride(0) * buffer.itemsize
    for start, own in zip(starts, gone, strict=True):
        first = buffer.data_ptr() + start * row
        edges = [-1, *own, count]
        pieces = [(a + 1, b - a - 1) for a, b in pairwise(edges)]  # (first row, rows) between gaps
        if up:
            moves = [(at, at + len(own) - j, n) for j, (at, n) in enumerate(pieces[:-1])][::-1]
        else:
            moves = [(at, at - j, n) for j, (at, n) in enumerate(pieces) if j]
        for source, target, rows in moves:
            ctypes.memmove(first + target * row, first + source * row, rows * row)
