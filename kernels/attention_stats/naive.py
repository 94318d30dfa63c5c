"""The same statistics from the whole attention matrix, in float32: what the tests compare with."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenarium.kernels.attention_stats.declaration import AttentionStats, Axis, Want
from tokenarium.kernels.attention_stats.inputs import AttentionInput


def attention_weights(attention: AttentionInput) -> Tensor:
    """Return the whole attention matrix [H, T, S]."""
    q, k, window, softcap = attention.q, attention.k, attention.window, attention.softcap
    groups = q.shape[0] // k.shape[0]
    scores = q.float() @ k.float().repeat_interleave(groups, 0).mT * attention.scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    distance = _distance(attention)
    hidden = distance < 0 if window is None else (distance < 0) | (distance >= window)
    scores = scores.masked_fill(hidden, float("-inf"))
    if attention.mask is not None:
        scores = scores + attention.mask.float()
    if attention.sinks is None:
        return torch.softmax(scores, -1)
    extra = attention.sinks.float()[:, None, None].expand(-1, scores.shape[1], 1)
    return torch.softmax(torch.cat((scores, extra), -1), -1)[..., :-1]


def attention_stats(attention: AttentionInput, want: Want) -> tuple[Tensor, AttentionStats]:
    """Compute what ``tokenarium.kernels.attention_stats`` does, holding [H, T, S] in memory."""
    a, distance = attention_weights(attention), _distance(attention)
    mean, highest = _tiles(a, distance, want) if want.tiles else (None, None)
    stats = AttentionStats(
        received=a.sum(1) if want.received else None,
        entropy=-torch.xlogy(a, a).sum(-1) if want.entropy else None,
        distance=(a * distance).sum(-1) if want.distance else None,
        columns=_columns(a, want) if want.columns else None,
        diagonals=_diagonals(a, distance, want) if want.diagonals else None,
        decayed=_decayed(a, want) if want.decay else None,
        last=a[:, -want.last :].sum(1) if want.last else None,
        segments=_segments(a, want) if want.segments else None,
        tiles_mean=mean,
        tiles_max=highest,
    )
    per_group = attention.q.shape[0] // attention.v.shape[0]
    values = attention.v.float().repeat_interleave(per_group, 0)
    return (a @ values).transpose(0, 1).to(attention.q.dtype), stats


def _columns(a: Tensor, want: Want) -> Tensor:
    return torch.stack([a[:, :, column] for column in want.columns], 1)


def _diagonals(a: Tensor, distance: Tensor, want: Want) -> Tensor:
    rows = [torch.where(distance == d, a, 0).sum(-1) for d in want.diagonals]
    there = [(distance[:, 0] >= d) for d in want.diagonals]
    return torch.stack(rows, 1).masked_fill(~torch.stack(there), float("nan"))


def _decayed(a: Tensor, want: Want) -> Tensor:
    """Follow the recursion S <- f S + A[i], in float64: rounding f alone adds up over a text."""
    sums = []
    for factor in want.decay:
        total = torch.zeros_like(a[:, 0], dtype=torch.float64)
        for row in a.unbind(1):
            total = factor * total + row
        sums.append(total.float())
    return torch.stack(sums, 1)


def _segments(a: Tensor, want: Want) -> Tensor:
    run = torch.arange(a.shape[1], device=a.device) * want.segments // a.shape[1]
    return torch.stack([a[:, run == n].sum(1) for n in range(want.segments)], 1)


def _distance(attention: AttentionInput) -> Tensor:
    device = attention.q.device
    positions = torch.arange(attention.query_count, device=device)[:, None] + attention.first
    return positions - torch.arange(attention.key_count, device=device)


def _tiles(a: Tensor, distance: Tensor, want: Want) -> tuple[Tensor, Tensor]:
    assert want.tiles is not None
    position = distance[:, 0]
    rows = _membership(want.tiles.queries, position)
    columns = _membership(want.tiles.keys, torch.arange(a.shape[2], device=a.device))
    causal = (distance >= 0).float()
    count = rows @ causal @ columns.T
    mean = (rows @ (a * causal) @ columns.T / count).masked_fill(count == 0, float("nan"))
    highest = torch.full_like(mean, float("nan"))
    for row, column in (count > 0).nonzero().tolist():
        inside = causal * rows[row][:, None] * columns[column]
        highest[:, row, column] = (a * inside).flatten(1).amax(-1)
    return mean, highest


def _membership(axis: Axis, position: Tensor) -> Tensor:
    """One row per tile, 1 where a position lies in it, straight from the definition."""
    inside = (position >= axis.start) & (position < axis.stop)
    tile = (position - axis.start) * axis.tiles // (axis.stop - axis.start)
    member = F.one_hot(torch.where(inside, tile, 0).clamp(0, axis.tiles - 1), axis.tiles)
    return (member * inside[:, None]).T.float()
