"""Compaction in PyTorch: one gather for all heads where they keep equally many."""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.inference_mode()
def compact_kv(
    buffer: Tensor, starts: Sequence[int], kept: Sequence[Tensor], target: Tensor | None
) -> None:
    """Compute what ``kernels.compact_kv`` documents."""
    place = 0
    for start, rows in zip(starts, kept, strict=True):
        found = buffer.index_select(0, rows + start)
        if target is None:
            buffer[start : start + len(rows)] = found
        else:
            target[place : place + len(rows)] = found
            place += len(rows)
