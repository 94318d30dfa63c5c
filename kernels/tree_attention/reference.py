"""Attention over a tree in PyTorch: one product for the text and the nodes together."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenarium.kernels.tree_attention.ancestry import Ancestry


@torch.inference_mode()
def tree_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    tree: Ancestry,
    *,
    scaling: float,
    softcap: float | None,
    sinks: Tensor | None,
    window: int | None,
) -> Tensor:
    """Compute what ``tokenarium.kernels.tree_attention`` documents."""
    (heads, queries, _), groups = q.shape, keys.shape[0]
    together = heads // groups
    text = keys.shape[1] - len(tree)
    special = softcap is not None or sinks is not None
    kind = torch.float32 if special else q.dtype
    first, bias = tree.bias(queries, text, window, together, kind, q.device)
    keys, values = keys[:, first:], values[:, first:]
    # All query heads of a key head are rows of one product: keys are read once, never repeated.
    rows = q.reshape(groups, together * queries, -1)
    if special:
        logits = (rows @ keys.mT).float().mul_(scaling)
        out = _weights(logits, bias, softcap, sinks, together).to(values.dtype) @ values
    else:
        mask = None if bias is None else bias[None, None]
        given = rows[None], keys[None], values[None]
        out = F.scaled_dot_product_attention(*given, attn_mask=mask, scale=scaling)[0]
    joined: Tensor = out.reshape(heads, queries, -1).transpose(0, 1).to(q.dtype)
    return joined


def _weights(
    logits: Tensor, bias: Tensor | None, softcap: float | None, sinks: Tensor | None, together: int
) -> Tensor:
    """Return the weights [G, rows, S] of logits of that shape, which are used up."""
    if softcap is not None:
        logits = logits.div_(softcap).tanh_().mul_(softcap)
    if bias is not None:
        logits += bias
    if sinks is None:
        return torch.softmax(logits, -1)
    padded = F.pad(logits, (0, 1))
    by_head = padded[..., -1].unflatten(1, (together, -1))
    by_head[:] = sinks.float().view(len(logits), together, 1)
    return torch.softmax(padded, -1)[..., :-1]
