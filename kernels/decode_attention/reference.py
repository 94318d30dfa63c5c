"""Attention over a cache in PyTorch: one product for all heads where they hold equally many."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.inference_mode()
def decode_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    starts: Sequence[int],
    counts: Sequence[int],
    *,
    scaling: float,
    softcap: float | None,
    sinks: Tensor | None,
    window: int | None,
    bias: Tensor | None = None,
    want_weights: bool,
) -> tuple[Tensor, Tensor | None]:
    """Compute what ``tokenarium.kernels.decode_attention`` documents."""
    groups, heads = len(starts), q.shape[0]
    split = q.unflatten(0, (groups, heads // groups))
    extra = None if sinks is None else sinks.float().view(groups, -1, 1, 1)
    if len(set(counts)) == 1 and _evenly_spaced(starts):
        k, v = (_rectangle(buffer, starts, counts[0]) for buffer in (keys, values))
        own_bias = None if bias is None else _of_groups(bias, starts, counts[0])
        out, weights = _attend(split, k, v, scaling, softcap, extra, window, own_bias)
        found = weights.flatten(0, 1) if want_weights else None
        return out.flatten(0, 1).transpose(0, 1).to(q.dtype), found
    outs, found = [], None
    if want_weights:
        found = q.new_zeros(heads, q.shape[1], max(counts), dtype=torch.float32)
    for g, (start, count) in enumerate(zip(starts, counts, strict=True)):
        own = slice(start, start + count)
        sink = None if extra is None else extra[g : g + 1]
        own_bias = None if bias is None else bias.view(groups, -1, len(keys))[g : g + 1, :, own]
        out, weights = _attend(
            split[g : g + 1],
            keys[None, own],
            values[None, own],
            scaling,
            softcap,
            sink,
            window,
            own_bias,
        )
        outs.append(out[0])
        if found is not None:
            rows = slice(g * heads // groups, (g + 1) * heads // groups)
            found[rows, :, :count] = weights[0]
    return torch.cat(outs).transpose(0, 1).to(q.dtype), found


def _evenly_spaced(starts: Sequence[int]) -> bool:
    return len({b - a for a, b in pairwise(starts)}) <= 1


def _of_groups(bias: Tensor, starts: Sequence[int], count: int) -> Tensor:
    """Return [G, rep, count] of [H, N], each group's own entries."""
    split = bias.view(len(starts), -1, bias.shape[1])
    return torch.stack(
        [own[:, start : start + count] for own, start in zip(split, starts, strict=True)]
    )


def _rectangle(buffer: Tensor, starts: Sequence[int], count: int) -> Tensor:
    """View [N, D] as [G, count, D]."""
    row, one = buffer.stride()
    head = (starts[1] - starts[0]) * row if len(starts) > 1 else 0
    shape = (len(starts), count, buffer.shape[1])
    return buffer.as_strided(shape, (head, row, one), starts[0] * row)


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scaling: float,
    softcap: float | None,
    sinks: Tensor | None,
    window: int | None,
    bias: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return out [g, rep, n, Dv] and weights [g, rep, n, S] of q [g, rep, n, D], k [g, S, D].

    ``bias`` [g, rep, S] is added to the logits.
    """
    queries, count = q.shape[2], k.shape[1]
    logits = (q.flatten(1, 2) @ k.mT).float().unflatten(1, q.shape[1:3]).mul_(scaling)
    if softcap is not None:
        logits = torch.tanh(logits / softcap) * softcap
    if bias is not None:
        logits += bias[:, :, None].float()
    if queries > 1 or (window is not None and window < count):
        own = torch.arange(count - queries, count, device=q.device)[:, None]
        entry = torch.arange(count, device=q.device)
        hidden = entry > own
        if window is not None:
            hidden |= entry <= own - window
        logits.masked_fill_(hidden, float("-inf"))
    if sinks is None:
        weights = torch.softmax(logits, -1)
    else:
        padded = F.pad(logits, (0, 1))
        padded[..., -1:] = sinks
        weights = torch.softmax(padded, -1)[..., :-1]
    out = (weights.to(v.dtype).flatten(1, 2) @ v).unflatten(1, q.shape[1:3])
    return out, weights
