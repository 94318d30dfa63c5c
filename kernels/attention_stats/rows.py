"""The attention weights themselves, some rows at a time, for code that changes or inspects them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats.checks import check_shapes


@dataclass(frozen=True)
class Rows:
    """Queries [start, stop) of all heads against every key, in float32.

    ``logits`` [H, rows, S] are scaled, capped and masked, -inf where the query may not look;
    ``weights`` [H, rows, S] are their softmax, with the share of learned sinks taken off.
    """

    start: int
    stop: int
    logits: Tensor
    weights: Tensor


def attention_rows(
    q: Tensor,
    k: Tensor,
    *,
    scaling: float,
    offset: int | None = None,
    window: int | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    mask: Tensor | None = None,
    block: int = 128,
) -> Iterator[Rows]:
    """Yield the exact weights of ``block`` queries at a time, in the order of the queries.

    The tensors of a block are its receiver's to change. Memory is that of a few blocks,
    H x block x S numbers each.

    Args:
        q: [H, T, D], after position encoding; H a multiple of G.
        k: [G, S, D].
        scaling: factor on the logits q k.
        offset: position of query 0 among the keys; S - T where None.
        window: most keys a query sees, itself included.
        softcap: c bounds the logits as c tanh(x / c).
        sinks: [H] learned logits that join the denominator without a key.
        mask: [1 or H, T, S] added to the logits.
        block: queries per block.
    Raises:
        ValueError: if the shapes do not fit each other, or ``block`` is below 1.
    """
    check_shapes(q, k)
    if block < 1:
        raise ValueError(f"block={block} is below 1: ask for at least one query at a time")
    first = k.shape[1] - q.shape[1] if offset is None else offset
    blocks = [(start, min(start + block, q.shape[1])) for start in range(0, q.shape[1], block)]
    keys = k.float()

    def rows() -> Iterator[Rows]:
        for start, stop in blocks:
            bias = None if mask is None else mask[:, start:stop]
            logits = _logits(q[:, start:stop], keys, first + start, scaling, window, softcap, bias)
            yield Rows(start, stop, logits, _softmax(logits, sinks))

    return rows()


def _logits(
    q: Tensor,
    k: Tensor,
    position: int,
    scaling: float,
    window: int | None,
    softcap: float | None,
    mask: Tensor | None,
) -> Tensor:
    """Return [H, rows, S] for queries from ``position``; keys no row sees are not multiplied."""
    rows, size = q.shape[1:]
    newest = min(k.shape[1], position + rows)
    oldest = 0 if window is None else max(0, position - window + 1)
    folded = (q.float() * scaling).reshape(k.shape[0], -1, size)
    seen = (folded @ k[:, oldest:newest].mT).view(q.shape[0], rows, -1)
    if softcap is not None:
        seen = softcap * torch.tanh(seen / softcap)
    queries = torch.arange(position, position + rows, device=q.device)[:, None]
    ahead = torch.arange(oldest, newest, device=q.device) - queries
    hidden = ahead > 0 if window is None else (ahead > 0) | (ahead <= -window)
    logits = seen.new_full((q.shape[0], rows, k.shape[1]), float("-inf"))
    logits[..., oldest:newest] = seen.masked_fill_(hidden, float("-inf"))
    return logits if mask is None else logits.add_(mask)


def _softmax(logits: Tensor, sinks: Tensor | None) -> Tensor:
    weights = torch.softmax(logits, -1)
    if sinks is None:
        return weights
    total = torch.logsumexp(logits, -1, keepdim=True)
    return weights.mul_(torch.sigmoid(total - sinks.float()[:, None, None]))
