"""Attention over a tree in PyTorch: one product for the text and the nodes together."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.inference_mode()
def tree_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    parents: Sequence[int],
    *,
    scaling: float,
    softcap: float | None,
    sinks: Tensor | None,
    window: int | None,
) -> Tensor:
    """Compute what ``kernels.tree_attention`` documents."""
    groups, count = keys.shape[0], keys.shape[1]
    queries, text = q.shape[1], count - len(parents)
    split = q.unflatten(0, (groups, -1))
    logits = (split.flatten(1, 2) @ keys.mT).float().unflatten(1, split.shape[1:3]).mul_(scaling)
    if softcap is not None:
        logits = torch.tanh(logits / softcap) * softcap
    seen, depths = ancestry(parents)
    logits[..., text:].masked_fill_(~seen[-queries:].to(q.device), float("-inf"))
    if window is not None and window < text + int(depths.max()) + 1:
        places = torch.cat((torch.arange(text), text + depths))
        far = places <= places[-queries:, None] - window
        logits.masked_fill_(far.to(q.device), float("-inf"))
    if sinks is None:
        weights = torch.softmax(logits, -1)
    else:
        padded = F.pad(logits, (0, 1))
        padded[..., -1:] = sinks.float().view(groups, -1, 1, 1)
        weights = torch.softmax(padded, -1)[..., :-1]
    out = (weights.to(values.dtype).flatten(1, 2) @ values).unflatten(1, split.shape[1:3])
    joined: Tensor = out.flatten(0, 1)
    return joined.transpose(0, 1).to(q.dtype)


def ancestry(parents: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return who is an ancestor of whom, itself included [M, M], and depths [M]."""
    seen = torch.eye(len(parents), dtype=torch.bool)
    depths = torch.zeros(len(parents), dtype=torch.long)
    for node, parent in enumerate(parents):
        if parent >= 0:
            seen[node] |= seen[parent]
            depths[node] = depths[parent] + 1
    return seen, depths
