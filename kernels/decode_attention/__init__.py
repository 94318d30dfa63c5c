"""Attention of a few new queries over a cache whose heads may hold different entries."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, bfloat16, float16, float32

from tokenarium.kernels.attention_stats import WIDEST
from tokenarium.kernels.decode_attention import reference
from tokenarium.kernels.device import why_not_triton

__all__ = ["decode_attention", "fits_kernels"]


def decode_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    starts: Sequence[int],
    counts: Sequence[int],
    *,
    scaling: float,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    window: int | None = None,
    bias: Tensor | None = None,
    want_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attend over what is kept, and return the weights the scores need from the same pass.

    Head g of the cache holds the entries [starts[g], starts[g] + counts[g]) of the buffers, in the
    order of their positions; the last n of them belong to the n queries, so query i sees all but
    the last n - 1 - i.

    Args:
        q: [H, n, D], after position encoding; H a multiple of G.
        keys: [N, D], the buffer of all G heads.
        values: [N, Dv].
        starts: G offsets into the buffers.
        counts: G numbers of entries, each at least n.
        scaling: factor on the logits q k.
        softcap: c bounds the logits as c tanh(x / c).
        sinks: [H] learned logits that join the denominator without a key.
        window: most entries a query sees, its own included.
        bias: [H, N] added to the logits of each entry; with one, PyTorch computes on any device.
        want_weights: whether to return the weights too.
    Returns:
        The output [n, H, Dv] in the dtype of q, and the weights [H, n, S] in float32, S the largest
        count, entries of a head in order and 0 after its last; None where not wanted.
    Raises:
        ValueError: if the shapes do not fit each other.
    """
    groups = len(starts)
    fits = len(counts) == groups and groups and q.shape[0] % groups == 0
    if not fits or q.shape[2] != keys.shape[1] or min(counts) < q.shape[1]:
        raise ValueError(
            f"q {tuple(q.shape)}, keys {tuple(keys.shape)}, counts {list(counts)} do not fit: q is "
            "[H, n, D] with H a multiple of the number of counts, keys [N, D], counts at least n"
        )
    compute = partial(reference.decode_attention, bias=bias)
    if bias is None and why_not_triton(q.device) is None and fits_kernels(q, values):
        from tokenarium.kernels.decode_attention import triton  # not installed everywhere

        compute = partial(triton.decode_attention)
    return compute(
        q,
        keys,
        values,
        starts,
        counts,
        scaling=scaling,
        softcap=softcap,
        sinks=sinks,
        window=window,
        want_weights=want_weights,
    )


def fits_kernels(q: Tensor, values: Tensor) -> bool:
    """Whether the kernels take these head sizes and this number format."""
    return max(q.shape[2], values.shape[1]) <= WIDEST and q.dtype in (float32, float16, bfloat16)
