"""Causal and windowed grouped-query attention that also returns its statistics, in O(T) memory."""

from torch import Tensor, bfloat16, device, float16, float32

from tokenarium.kernels.attention_stats import paths, reference
from tokenarium.kernels.attention_stats.declaration import AttentionStats, Axis, Grid, Want
from tokenarium.kernels.attention_stats.inputs import AttentionInput
from tokenarium.kernels.attention_stats.native import layer as native
from tokenarium.kernels.attention_stats.rows import Rows, attention_rows
from tokenarium.kernels.device import why_not_triton

__all__ = [
    "AttentionInput",
    "AttentionStats",
    "Axis",
    "Grid",
    "Rows",
    "Want",
    "attention_rows",
    "attention_stats",
    "implementation",
]

WIDEST = 256
"""Head sizes above this are left to PyTorch: their blocks do not fit a GPU's registers."""


def attention_stats(attention: AttentionInput, want: Want) -> tuple[Tensor, AttentionStats]:
    """Attend and measure in one pass, never holding the attention matrix.

    Statistics are float32 whatever the inputs; no gradient is kept.

    Args:
        attention: one layer's queries, keys and values.
        want: the statistics to compute.
    Returns:
        The output [T, H, Dv] in the dtype of q, and the statistics.
    Raises:
        ValueError: if a wanted column, ``last`` or ``segments`` is out of range.
    """
    attention.check(want)
    if attention.q.device.type == "cpu" and native.why_not(attention) is None:
        library = paths.chosen().library
        if library is not None:
            return native.attention_stats(library, attention, want)
    compute = reference.attention_stats
    if why_not_triton(attention.q.device) is None and _fits_kernels(attention, want):
        from tokenarium.kernels.attention_stats import triton  # not installed everywhere

        compute = triton.attention_stats
    return compute(attention, want)


def implementation(where: device) -> tuple[str, str]:
    """Return which implementation runs on a device, and why."""
    if where.type == "cpu":
        path = paths.chosen()
        return path.name, f"on a CPU, {path.reason}"
    problem = why_not_triton(where)
    if problem is not None:
        return paths.PANELS, problem
    return (
        "triton kernels",
        f"a {where.type} device with Triton; heads wider than {WIDEST} go by pytorch panels",
    )


def _fits_kernels(attention: AttentionInput, want: Want) -> bool:
    """Whether the kernels take these head sizes, this number format and this grid of tiles."""
    q, v = attention.q, attention.v
    axes = () if want.tiles is None else (want.tiles.queries, want.tiles.keys)
    return (
        max(q.shape[2], v.shape[2]) <= WIDEST
        and q.dtype in (float32, float16, bfloat16)
        and all((axis.stop - axis.start) * axis.tiles < 1 << 31 for axis in axes)
    )
