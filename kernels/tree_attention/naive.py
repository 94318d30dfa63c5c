"""The same attention node by node in float64: what the tests compare with."""

from collections.abc import Sequence

import torch
from torch import Tensor


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
    """Attend from each node over its own path alone, gathered key by key, on the CPU."""
    q, keys, values = (given.detach().cpu().double() for given in (q, keys, values))
    heads, queries, _ = q.shape
    text = keys.shape[1] - len(parents)
    out = torch.zeros(queries, heads, values.shape[2], dtype=torch.float64)
    for i in range(queries):
        path, node = [], len(parents) - queries + i
        while node >= 0:
            path.append(text + node)
            node = parents[node]
        entries = [*range(text), *path[::-1]]
        if window is not None:
            entries = entries[-window:]
        for h in range(heads):
            g = h * keys.shape[0] // heads
            logits = keys[g, entries] @ q[h, i] * scaling
            if softcap is not None:
                logits = softcap * torch.tanh(logits / softcap)
            if sinks is not None:
                logits = torch.cat((logits, sinks[h : h + 1].cpu().double()))
            out[i, h] = torch.softmax(logits, 0)[: len(entries)] @ values[g, entries]
    return out
