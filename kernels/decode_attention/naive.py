"""The same attention query by query in float64: what the tests compare with."""

from collections.abc import Sequence

import torch
from torch import Tensor


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
) -> tuple[Tensor, Tensor]:
    """Compute output and weights from their definition, on the CPU."""
    q, keys, values = (given.detach().cpu().double() for given in (q, keys, values))
    heads, queries, _ = q.shape
    out = torch.zeros(queries, heads, values.shape[1], dtype=torch.float64)
    weights = torch.zeros(heads, queries, max(counts), dtype=torch.float64)
    for h in range(heads):
        g = h * len(starts) // heads
        own = slice(starts[g], starts[g] + counts[g])
        entry = torch.arange(counts[g])
        for i in range(queries):
            logits = keys[own] @ q[h, i] * scaling
            if softcap is not None:
                logits = softcap * torch.tanh(logits / softcap)
            if bias is not None:
                logits = logits + bias[h, own].cpu().double()
            last = counts[g] - queries + i
            logits[entry > last] = -torch.inf
            if window is not None:
                logits[entry <= last - window] = -torch.inf
            if sinks is not None:
                logits = torch.cat((logits, sinks[h : h + 1].cpu().double()))
            probs = torch.softmax(logits, 0)[: counts[g]]
            weights[h, i, : counts[g]] = probs
            out[i, h] = probs @ values[own]
    return out, weights
