"""Attention of guesses over a text and over their own ancestors in a tree."""

from torch import Tensor, bfloat16, float16, float32

from tokenarium.kernels.attention_stats import WIDEST
from tokenarium.kernels.device import why_not_triton
from tokenarium.kernels.tree_attention import reference
from tokenarium.kernels.tree_attention.ancestry import Ancestry

__all__ = ["Ancestry", "fits_kernels", "tree_attention"]


def tree_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    tree: Ancestry,
    *,
    scaling: float,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    window: int | None = None,
) -> Tensor:
    """Attend from the newest nodes of a tree over the text before it and their own ancestors.

    The last M = len(tree) keys belong to the nodes, in order; the first S - M to the text, which
    every node follows. A node of depth d stands at position S - M + d, as its siblings do.

    Args:
        q: [H, n, D] of the n newest nodes, after position encoding; H a multiple of G.
        keys: [G, S, D], the nodes' own included.
        values: [G, S, Dv].
        tree: M nodes.
        scaling: of the products of queries and keys.
        softcap: c bounds logits as c tanh(x / c).
        sinks: [H] learned logits that join the softmax's denominator without a key.
        window: most positions a query sees, its own included.

    Returns: [n, H, Dv] in the dtype of the queries.

    Raises:
        ValueError: if shapes do not fit each other or the tree, or the window is empty.

    Paper: tree attention with one mask for all branches (Miao et al., 2023, arXiv:2305.09781).
    """
    _refuse_misfits(q, keys, values, tree, sinks)
    if window is not None and window < 1:
        raise ValueError(f"window={window} is below 1: a token sees at least itself")
    compute = reference.tree_attention
    if why_not_triton(q.device) is None and fits_kernels(q, values):
        from tokenarium.kernels.tree_attention import triton  # not installed everywhere

        compute = triton.tree_attention
    return compute(
        q, keys, values, tree, scaling=scaling, softcap=softcap, sinks=sinks, window=window
    )


def fits_kernels(q: Tensor, values: Tensor) -> bool:
    """Whether the kernels take these head sizes and this number format."""
    return max(q.shape[2], values.shape[2]) <= WIDEST and q.dtype in (float32, float16, bfloat16)


def _refuse_misfits(
    q: Tensor, keys: Tensor, values: Tensor, tree: Ancestry, sinks: Tensor | None
) -> None:
    heads, queries, size = q.shape
    fits = heads % keys.shape[0] == 0 and size == keys.shape[2]
    fits &= keys.shape[:2] == values.shape[:2]
    fits &= 1 <= queries <= len(tree) <= keys.shape[1]
    fits &= sinks is None or sinks.shape == (heads,)
    if not fits:
        raise ValueError(
            f"q {tuple(q.shape)}, keys {tuple(keys.shape)}, values {tuple(values.shape)}, a tree "
            f"of {len(tree)} and sinks {None if sinks is None else tuple(sinks.shape)} do not fit: "
            "q is [H, n, D] with H a multiple of G and n of 1 up to the nodes, keys [G, S, D] and "
            "values [G, S, Dv] with the nodes' own last, sinks [H]"
        )
