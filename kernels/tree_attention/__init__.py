"""Attention of guesses over a text and over their own ancestors in a tree."""

from collections.abc import Sequence

from torch import Tensor

from kernels.tree_attention import reference

__all__ = ["tree_attention"]


def tree_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    parents: Sequence[int],
    *,
    scaling: float,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    window: int | None = None,
) -> Tensor:
    """Attend from the newest nodes of a tree over the text before it and their own ancestors.

    The last M = len(parents) keys belong to the nodes, in order; the first S - M to the text, which
    every node follows. A node of depth d stands at position S - M + d.

    Args:
        q: [H, n, D] of the n newest nodes, after position encoding; H a multiple of G.
        keys: [G, S, D], the nodes' own included.
        values: [G, S, Dv].
        parents: [M] index of each node's parent among the nodes; -1 follows the text. A parent
            comes before its children.
        scaling: of the products of queries and keys.
        softcap: c bounds logits as c tanh(x / c).
        sinks: [H] learned logits that join the softmax's denominator without a key.
        window: most positions a query sees, its own included.

    Returns: [n, H, Dv] in the dtype of the queries.

    Raises:
        ValueError: if shapes do not fit, or a parent does not come before its child.
    """
    return reference.tree_attention(
        q, keys, values, parents, scaling=scaling, softcap=softcap, sinks=sinks, window=window
    )
