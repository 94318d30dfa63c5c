"""Attention of a few new queries over chosen entries of a cache, each head's own choice."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from tokenarium.kernels.decode_attention import fits_kernels
from tokenarium.kernels.device import why_not_triton
from tokenarium.kernels.gather_attention import reference

__all__ = ["gather_attention"]


def gather_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    starts: Sequence[int],
    counts: Sequence[int],
    chosen: Sequence[Tensor] | Tensor,
    *,
    scaling: float,
    block: int = 1,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    want_weights: bool = False,
    products: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Attend over what was chosen as if a cache held nothing else; what was not is never read.

    Head g of the cache holds the entries [starts[g], starts[g] + counts[g]) of the buffers, in the
    order of their positions; the last n of them belong to the n queries, so query i sees of the
    chosen entries those before the last n - 1 - i. A query that sees none of them returns zeros.

    Args:
        q: [H, n, D], after position encoding; H a multiple of G.
        keys: [N, D], the buffer of all G heads.
        values: [N, Dv].
        starts: G offsets into the buffers.
        counts: G numbers of entries.
        chosen: for each head ascending indices [m_g] int64 of blocks, counted from the head's
            start; [G, m] where all heads choose equally many.
        scaling: factor on the logits q k.
        block: consecutive entries in a block; the last one of a head may hold fewer.
        softcap: c bounds the logits as c tanh(x / c).
        sinks: [H] learned logits that join the denominator without a key.
        want_weights: whether to return the weights too.
        products: [H, S] float32, q k of one query with the first S entries of its head, before
            ``scaling``, where they are known: PyTorch then reads no key.
    Returns:
        The output [n, H, Dv] in the dtype of q, and the weights [H, n, m * block] in float32, m the
        largest number of chosen blocks, in the order of ``chosen`` and 0 where there is no entry;
        None where not wanted.
    Raises:
        ValueError: if the shapes do not fit each other.
    """
    groups = len(starts)
    fits = len(counts) == len(chosen) == groups > 0 and q.shape[0] % groups == 0
    if not fits or q.shape[2] != keys.shape[1] or block < 1:
        raise ValueError(
            f"q {tuple(q.shape)}, keys {tuple(keys.shape)}, {len(starts)} starts, {len(counts)} "
            f"counts, {len(chosen)} choices and block={block} do not fit: q is [H, n, D] with H a "
            "multiple of the number of starts, counts and choices, keys [N, D], block at least 1"
        )
    if products is not None and (products.shape[0] != q.shape[0] or q.shape[1] != 1):
        raise ValueError(
            f"products {tuple(products.shape)} does not fit q {tuple(q.shape)}: give [H, S] of one "
            "query, or None"
        )
    compute = partial(reference.gather_attention, products=products)
    if why_not_triton(q.device) is None and fits_kernels(q, values):
        from tokenarium.kernels.gather_attention import triton  # not installed everywhere

        compute = partial(triton.gather_attention)
    return compute(
        q,
        keys,
        values,
        starts,
        counts,
        chosen,
        scaling=scaling,
        block=block,
        softcap=softcap,
        sinks=sinks,
        want_weights=want_weights,
    )
