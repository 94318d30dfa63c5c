"""One pass of the model over tokens, with or without a change, and what its attention did."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe import AttentionCall, Recorder, recording
from tokenarium.backend.observe.layer import Change, Layer
from tokenarium.backend.observe.residuals import residuals
from tokenarium.kernels.attention_stats import Want, attention_stats

BLOCK = range(16, 129)
"""Queries whose changed weights are held at once, by what fits into ``HELD_WEIGHTS``."""
HELD_WEIGHTS = 1 << 23


class Reading(Recorder):
    """Attends as the model does, but for the changed heads, and keeps what keys receive.

    ``received`` [L][H, T] sums the weights over queries; ``taken`` [L][H] is the mass taken from
    keys, per query.
    """

    def __init__(self, changes: Mapping[int, Change], step: Callable[[int], None]) -> None:
        super().__init__()
        self._changes, self._step = changes, step
        self.received: list[Tensor] = []
        self.taken: list[Tensor] = []
        self.touched: list[tuple[int, ...]] = []

    def attend(self, call: AttentionCall) -> Tensor:
        """Return the output of the layer, changed where it is to be changed."""
        self._step(call.layer)
        change = self._changes.get(call.layer)
        heads = call.q.shape[1]
        all_heads = tuple(range(heads))
        chosen = () if change is None else change.heads or all_heads
        if chosen == all_heads:
            out, received = self._empty(call)
        else:
            out, received = _as_the_model_does(call)
        taken = torch.zeros(heads, device=out.device)
        if change is not None:
            self._apply(change, Layer.of(call, change.heads), out, received, taken)
        self.received.append(received)
        self.taken.append(taken)
        self.touched.append(chosen)
        return out[None]

    def _empty(self, call: AttentionCall) -> tuple[Tensor, Tensor]:
        heads, length = call.q.shape[1:3]
        out = call.q.new_empty(length, heads, call.v.shape[-1])
        return out, call.q.new_zeros(heads, call.k.shape[2], dtype=torch.float32)

    def _apply(
        self, change: Change, layer: Layer, out: Tensor, received: Tensor, taken: Tensor
    ) -> None:
        """Write the changed heads into ``out`` [T, H, Dv], ``received`` [H, S], ``taken`` [H]."""
        heads = list(layer.heads)
        reweigh = change.begin(layer)
        values = layer.v.float()
        sums = torch.zeros_like(received[heads])
        fitting = HELD_WEIGHTS // (len(heads) * received.shape[1])
        for rows in layer.rows(min(max(fitting, BLOCK.start), BLOCK.stop - 1)):
            self._step(layer.number)
            weights = reweigh(rows)
            seen = weights.shape[-1]
            sums[:, :seen] += weights.sum(1)
            lost = (rows.weights - weights).clamp_(min=0).sum((1, 2))
            taken[heads] += lost / layer.q.shape[1]
            folded = weights.reshape(values.shape[0], -1, seen)
            read = (folded @ values[:, :seen]).view(len(heads), rows.stop - rows.start, -1)
            out[rows.start : rows.stop, heads] = read.transpose(0, 1).to(out.dtype)
        received[heads] = sums


def read(
    loaded: LoadedModel, ids: list[int], changes: Mapping[int, Change], step: Callable[[int], None]
) -> tuple[Tensor, Reading]:
    """Read ``ids``; return the residual stream [T, D] after the last layer, and the attention.

    Args:
        step: called with the layer at work, for every block of changed rows; raises to stop.
    """
    last: list[Tensor] = []

    def see(_: int, residual: Tensor) -> None:
        last[:] = [residual[0]]

    reading = Reading(changes, step)
    with recording(reading), residuals(loaded.layers, see):
        tokens = torch.tensor([ids], device=loaded.device)
        loaded.body(input_ids=tokens, use_cache=False)
    return last[0], reading


def _as_the_model_does(call: AttentionCall) -> tuple[Tensor, Tensor]:
    out, stats = attention_stats(call.inputs(), Want(received=True))
    assert stats.received is not None
    return out, stats.received
