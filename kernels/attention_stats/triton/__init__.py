"""Attention with statistics on a GPU, in up to three Triton kernels; needs Triton to import."""

from contextlib import nullcontext
from functools import lru_cache

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats.declaration import AttentionStats, Want
from tokenarium.kernels.attention_stats.triton.forward import forward_launch
from tokenarium.kernels.attention_stats.triton.layer import Layer, rows_in_one_piece
from tokenarium.kernels.attention_stats.triton.picked import picked_launch
from tokenarium.kernels.attention_stats.triton.summing import Sums, sums_launch

__all__ = ["attention_stats"]


@torch.no_grad()
def attention_stats(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scaling: float,
    want: Want,
    offset: int | None = None,
    window: int | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    mask: Tensor | None = None,
) -> tuple[Tensor, AttentionStats]:
    """Compute attention as ``tokenarium.kernels.attention_stats`` documents it, on a CUDA device.

    Matrix products are in the number format of q, everything else in float32.
    """
    layer = Layer(
        q=rows_in_one_piece(q),
        k=rows_in_one_piece(k.to(q.dtype)),
        v=rows_in_one_piece(v.to(q.dtype)),
        scaling=scaling,
        offset=k.shape[1] - q.shape[1] if offset is None else offset,
        window=window,
        softcap=softcap,
        sinks=sinks,
        mask=None if mask is None else mask.contiguous(),
        target=_capability(q.device),
    )
    with torch.cuda.device(q.device) if q.is_cuda else nullcontext():
        rows = forward_launch(layer, want)
        rows.launch.run()
        picks = picked_launch(layer, want, rows.log_sum)
        if picks is not None:
            picks.launch.run()
        added = sums_launch(layer, want, rows.log_sum)
        if added is not None:
            added.launch.run()
        sums = Sums() if added is None else added.sums(want)
    return rows.out, AttentionStats(
        entropy=rows.entropy,
        distance=rows.distance,
        columns=None if picks is None else picks.columns,
        diagonals=None if picks is None else picks.diagonals,
        received=sums.received,
        decayed=sums.decayed,
        last=sums.last,
        segments=sums.segments,
        tiles_mean=sums.tiles_mean,
        tiles_max=sums.tiles_max,
    )


@lru_cache(maxsize=8)
def _capability(device: torch.device) -> int:
    """Compute capability times ten; 0 on a CPU, where the interpreter runs."""
    if device.type != "cuda":
        return 0
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor
