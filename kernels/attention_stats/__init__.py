"""Causal and windowed grouped-query attention that also returns its statistics, in O(T) memory."""

from torch import Tensor, device

from kernels.attention_stats import reference
from kernels.attention_stats.declaration import AttentionStats, Axis, Grid, Want

__all__ = ["AttentionStats", "Axis", "Grid", "Want", "attention_stats", "implementation"]


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
        ValueError: if the shapes do not fit each other.
    """
    if q.shape[0] % k.shape[0] or k.shape[1] != v.shape[1] or q.shape[2] != k.shape[2]:
        raise ValueError(
            f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)} do not fit: they are "
            "[H, T, D], [G, S, D], [G, S, Dv] with H a multiple of G"
        )
    return reference.attention_stats(
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
    return "pytorch panels", f"no fused kernel is installed for {where.type}"
