"""Causal and windowed grouped-query attention that also returns its statistics, in O(T) memory."""

from torch import Tensor, bfloat16, device, float16, float32

from tokenarium.kernels.attention_stats import reference
from tokenarium.kernels.attention_stats.checks import check_shapes, check_want
from tokenarium.kernels.attention_stats.declaration import AttentionStats, Axis, Grid, Want
from tokenarium.kernels.attention_stats.rows import Rows, attention_rows
from tokenarium.kernels.device import why_not_triton

__all__ = [
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
    """Attend and measure in one pass, never holding the attention matrix.

    Query i stands at position ``offset + i`` of the keys and sees position j where
    ``j <= offset + i`` and, with a window, ``j > offset + i - window``. Statistics are float32
    whatever the inputs; no gradient is kept.

    Args:
        q: [H, T, D], after position encoding; H a multiple of G.
        k: [G, S, D].
        v: [G, S, Dv].
        scaling: factor on the logits q k.
        want: the statistics to compute.
        offset: position of query 0; S - T where None.
        window: most keys a query sees, itself included.
        softcap: c bounds the logits as c tanh(x / c).
        sinks: [H] learned logits that join the denominator without a key, so that a row sums to
            1 less the sink's share.
        mask: [1 or H, T, S] added to the logits; it may hide more pairs, not show others, and
            leaves every query at least one key.
    Returns:
        The output [T, H, Dv] in the dtype of q, and the statistics.
    Raises:
        ValueError: if the shapes do not fit each other, or a wanted column, ``last`` or
            ``segments`` is out of their range.
    """
    check_shapes(q, k, v)
    check_want(want, q.shape[1], k.shape[1])
    compute = reference.attention_stats
    if why_not_triton(q.device) is None and _fits_kernels(q, v, want):
        from tokenarium.kernels.attention_stats import triton  # not installed everywhere

        compute = triton.attention_stats
    return compute(
        q,
        k,
        v,
        scaling=scaling,
        want=want,
        offset=offset,
        window=window,
        softcap=softcap,
        sinks=sinks,
        mask=mask,
    )


def implementation(where: device) -> tuple[str, str]:
    """Return which implementation runs on a device, and why."""
    if where.type == "cpu":
        return "pytorch panels", "the path for a CPU"
    problem = why_not_triton(where)
    if problem is not None:
        return "pytorch panels", problem
    return (
        "triton kernels",
        f"a {where.type} device with Triton; heads wider than {WIDEST} go by pytorch panels",
    )


def _fits_kernels(q: Tensor, v: Tensor, want: Want) -> bool:
    """Whether the kernels take these head sizes, this number format and this grid of tiles."""
    axes = () if want.tiles is None else (want.tiles.queries, want.tiles.keys)
    return (
        max(q.shape[2], v.shape[2]) <= WIDEST
        and q.dtype in (float32, float16, bfloat16)
        and all((axis.stop - axis.start) * axis.tiles < 1 << 31 for axis in axes)
    )
