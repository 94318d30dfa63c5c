"""Attention with statistics on a GPU, in up to four Triton kernels; needs Triton to import."""

from contextlib import nullcontext
from functools import lru_cache

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats.declaration import AttentionStats, Want
from tokenarium.kernels.attention_stats.inputs import AttentionInput
from tokenarium.kernels.attention_stats.triton.forward import forward_launch
from tokenarium.kernels.attention_stats.triton.layer import Layer
from tokenarium.kernels.attention_stats.triton.picked import picked_launch
from tokenarium.kernels.attention_stats.triton.summing import NOTHING, sums_launch

__all__ = ["attention_stats"]


@torch.no_grad()
def attention_stats(attention: AttentionInput, want: Want) -> tuple[Tensor, AttentionStats]:
    """Compute attention as ``tokenarium.kernels.attention_stats`` documents it, on a CUDA device.

    Matrix products are in the number format of q, everything else in float32.
    """
    q = attention.q
    layer = Layer.of(attention, _capability(q.device))
    with torch.cuda.device(q.device) if q.is_cuda else nullcontext():
        rows = forward_launch(layer, want)
        rows.launch.run()
        picks = picked_launch(layer, want, rows.log_sum)
        if picks is not None:
            picks.launch.run()
        sums = sums_launch(layer, want, rows.log_sum) or NOTHING
        for launch in sums.launches:
            launch.run()
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
