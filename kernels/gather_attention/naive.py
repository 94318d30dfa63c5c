"""The same attention entry by entry in float64: what the tests compare with."""

from collections.abc import Sequence

import torch
from torch import Tensor


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
) -> tuple[Tensor, Tensor]:
    """Compute output and weights from their definition, on the CPU."""
    q, keys, values = (given.detach().cpu().double() for given in (q, keys, values))
    heads, queries, _ = q.shape
    most = max(len(own) for own in chosen) * block
    out = torch.zeros(queries, heads, values.shape[1], dtype=torch.float64)
    weights = torch.zeros(heads, queries, most, dtype=torch.float64)
    for h in range(heads):
        g = h * len(starts) // heads
        entries = [b * block + j for b in chosen[g].tolist() for j in range(block)]
        for i in range(queries):
            seen = [e for e in entries if e < counts[g] and e <= counts[g] - queries + i]
            logits = torch.zeros(len(seen), dtype=torch.float64)
            for n, entry in enumerate(seen):
                logits[n] = q[h, i] @ keys[starts[g] + entry] * scaling
            if softcap is not None:
                logits = softcap * torch.tanh(logits / softcap)
            shares = logits.exp()
            total = shares.sum() + (0 if sinks is None else sinks[h].cpu().double().exp())
            for entry, share in zip(seen, shares, strict=True):
                weight = share / total
                weights[h, i, entries.index(entry)] = weight
                out[i, h] += weight * values[starts[g] + entry]
    return out, weights
