"""One layer's attention as an intervention sees it: some heads, some rows at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from tokenarium.backend.observe import AttentionCall
from tokenarium.kernels.attention_stats import (
    AttentionInput,
    Rows,
    Want,
    attention_rows,
    attention_stats,
)

Reweigh = Callable[[Rows], Tensor]
"""From the model's own weights [H', rows, n] of some queries on the first n keys to a new tensor of
changed ones; the logits are its to change."""


@dataclass(frozen=True, eq=False)
class Layer(AttentionInput):
    """The H' heads of one layer that an intervention changes, after position encoding.

    ``q`` [H', T, D], ``k`` [G', S, D] and ``v`` [G', S, Dv] with H' a multiple of G'.
    """

    number: int = field(kw_only=True)
    heads: tuple[int, ...] = field(kw_only=True)

    @staticmethod
    def of(call: AttentionCall, heads: tuple[int, ...] | None) -> "Layer":
        """Cut ``heads`` out of a layer; all of them where None."""
        inputs, count, groups = call.inputs(), call.q.shape[1], call.k.shape[1]
        chosen = tuple(range(count)) if heads is None else heads
        q, k, v, mask = inputs.q, inputs.k, inputs.v, inputs.mask
        if len(chosen) < count:
            at = torch.tensor(chosen, device=q.device)
            group = at * groups // count
            q, k, v = q[at], k[group], v[group]
            mask = mask if mask is None or mask.shape[0] == 1 else mask[at]
        return Layer(
            q,
            k,
            v,
            scaling=inputs.scaling,
            offset=inputs.offset,
            window=inputs.window,
            softcap=inputs.softcap,
            sinks=None if inputs.sinks is None else inputs.sinks[list(chosen)],
            mask=mask,
            number=call.layer,
            heads=chosen,
        )

    def rows(self, block: int) -> Iterator[Rows]:
        """Yield the model's own weights, ``block`` queries at a time, on the keys up to them."""
        for rows in attention_rows(self, block):
            seen = self.first + rows.stop
            yield Rows(rows.start, rows.stop, rows.logits[..., :seen], rows.weights[..., :seen])

    def received(self) -> Tensor:
        """Return [H', S] sum over queries of the model's own weights, for each key."""
        _, stats = attention_stats(self, Want(received=True))
        assert stats.received is not None
        return stats.received

    @cached_property
    def keys(self) -> Tensor:
        """[S] the position of each key; rows of queries hold the first n of them."""
        return torch.arange(self.k.shape[1], device=self.q.device)

    def positions(self, rows: Rows) -> Tensor:
        """Return [rows] the position of each query, counted as keys are."""
        return torch.arange(rows.start, rows.stop, device=self.q.device) + self.first

    def queries_from(self) -> Tensor:
        """Return [S] how many queries stand at or after each key."""
        length = self.q.shape[1]
        return (self.first + length - self.keys).clamp(max=length)

    def distance(self, rows: Rows) -> Tensor:
        """Return [rows, n] how many tokens each key lies before each query; negative ahead."""
        return self.positions(rows)[:, None] - self.keys[: rows.weights.shape[-1]]

    def visible(self, rows: Rows) -> Tensor:
        """Return [H' or 1, rows, n] true where the model lets a query see a key."""
        distance = self.distance(rows)
        seen = (distance >= 0)[None]
        if self.window is not None:
            seen = seen & (distance < self.window)
        if self.mask is None:
            return seen
        added = self.mask[:, rows.start : rows.stop, : seen.shape[-1]]
        return seen & (added > torch.finfo(added.dtype).min / 2)

    def logits(self, q: Tensor, k: Tensor) -> Tensor:
        """Return [H', rows, n] scaled and capped logits of other queries and keys, unmasked."""
        folded = (q.float() * self.scaling).reshape(k.shape[0], -1, k.shape[-1])
        logits = (folded @ k.float().mT).view(*q.shape[:2], -1)
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def softmax(self, logits: Tensor) -> Tensor:
        """Return [H', rows, n] weights of ``logits``, with the share of learned sinks taken off."""
        weights = torch.softmax(logits, -1)
        if self.sinks is None:
            return weights
        total = torch.logsumexp(logits, -1, keepdim=True)
        return weights * torch.sigmoid(total - self.sinks.float()[:, None, None])


@dataclass(frozen=True)
class Change:
    """What an intervention does in one layer: to which heads, and how.

    ``begin`` is called once per run with those heads, and returns how rows are changed.
    """

    begin: Callable[[Layer], Reweigh]
    heads: tuple[int, ...] | None = None
    """None for all."""
    whole: Callable[[Layer, Callable[[], None]], Tensor] | None = None
    """The changed output [T, H, Dv] alone, of all heads of a layer without a mask of its own, where
    there is a quicker way than row by row; it calls its second argument now and then, which raises
    to stop."""
