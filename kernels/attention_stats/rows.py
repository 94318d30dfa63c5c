"""The attention weights themselves, some rows at a time, for code that changes or inspects them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats.inputs import AttentionInput


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


def attention_rows(attention: AttentionInput, block: int = 128) -> Iterator[Rows]:
    """Yield the exact weights of ``block`` queries at a time, in the order of the queries.

    The tensors of a block are its receiver's to change. Memory is that of a few blocks,
    H x block x S numbers each.

    Args:
        attention: one layer's queries and keys; its values are not read.
        block: queries per block.
    Raises:
        ValueError: if ``block`` is below 1.
    """
    if block < 1:
        raise ValueError(f"block={block} is below 1: ask for at least one query at a time")
    blocks = [
        (start, min(start + block, attention.query_count))
        for start in range(0, attention.query_count, block)
    ]
    keys = attention.k.float()

    def rows() -> Iterator[Rows]:
        for start, stop in blocks:
            logits = _logits(attention, keys, start, stop)
            yield Rows(start, stop, logits, _softmax(logits, attention.sinks))

    return rows()


def _logits(attention: AttentionInput, k: Tensor, start: int, stop: int) -> Tensor:
    """Return [H, rows, S] for queries [start, stop); keys no row sees are not multiplied.

    Args:
        attention: the layer.
        k: its keys in float32.
        start: first query.
        stop: after the last query.
    """
    q, window, softcap = attention.q[:, start:stop], attention.window, attention.softcap
    rows, size = q.shape[1:]
    position = attention.first + start
    newest = min(k.shape[1], position + rows)
    oldest = 0 if window is None else max(0, position - window + 1)
    folded = (q.float() * attention.scaling).reshape(k.shape[0], -1, size)
    seen = (folded @ k[:, oldest:newest].mT).view(q.shape[0], rows, -1)
    if softcap is not None:
        seen = softcap * torch.tanh(seen / softcap)
    queries = torch.arange(position, position + rows, device=q.device)[:, None]
    ahead = torch.arange(oldest, newest, device=q.device) - queries
    hidden = ahead > 0 if window is None else (ahead > 0) | (ahead <= -window)
    logits = seen.new_full((q.shape[0], rows, k.shape[1]), float("-inf"))
    logits[..., oldest:newest] = seen.masked_fill_(hidden, float("-inf"))
    return logits if attention.mask is None else logits.add_(attention.mask[:, start:stop])


def _softmax(logits: Tensor, sinks: Tensor | None) -> Tensor:
    weights = torch.softmax(logits, -1)
    if sinks is None:
        return weights
    total = torch.logsumexp(logits, -1, keepdim=True)
    return weights.mul_(torch.sigmoid(total - sinks.float()[:, None, None]))
