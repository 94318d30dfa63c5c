"""Each token routed by itself: the tokens before it were read in full."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tokenarium.backend.observe.attention import (
    AttentionCall,
    Recorder,
    plain_attention,
    recording,
)
from tokenarium.backend.reduction.low_rank import Forward
from tokenarium.backend.reduction.stepper import Stepper


class RoutedAttention(Recorder):
    """Attends to what earlier tokens wrote in the whole model, and to the token's own entry.

    So every token of a text can be routed at once as if it were the only one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._dense: dict[int, tuple[Tensor, Tensor]] = {}
        self._learning = True

    def learn(self, text: Stepper) -> None:
        """Read a text in full and keep keys and values of every layer."""
        states = text.states
        with recording(self):
            for number in range(len(text.loaded.layers)):
                states = text.layer(number, states)
        self._learning = False

    def attend(self, call: AttentionCall) -> Tensor:
        """Return the output of the layer."""
        if self._learning:
            self._dense[call.layer] = call.k, call.v
            return plain_attention(call)
        keys, values = (each.expand(len(call.q), -1, -1, -1) for each in self._dense[call.layer])
        length, device = call.q.shape[2], call.q.device
        seen = plain_mask(call)
        own = torch.eye(length, dtype=torch.bool, device=device)
        lowest = torch.finfo(seen.dtype).min
        mask = torch.cat((seen.masked_fill(own, lowest), seen.masked_fill(~own, lowest)), -1)
        bias = None if call.key_bias is None else torch.cat([call.key_bias] * 2, -1)
        both = replace(
            call, k=torch.cat((keys, call.k), 2), v=torch.cat((values, call.v), 2),
            mask=mask, window=None, key_bias=bias,
        )  # fmt: skip
        return plain_attention(both)


def plain_mask(call: AttentionCall) -> Tensor:
    """Return [1, 1 or H, T, T] what is added to the logits of a text that is read at once."""
    if call.mask is not None:
        return call.mask[:1]
    length = call.q.shape[2]
    place = torch.arange(length, device=call.q.device)
    hidden = place[None] > place[:, None]
    if call.window is not None:
        hidden |= place[None] <= place[:, None] - call.window
    bias = torch.zeros((1, 1, length, length), dtype=call.q.dtype, device=call.q.device)
    return bias.masked_fill_(hidden, torch.finfo(call.q.dtype).min)


@contextmanager
def instead(parts: Sequence[tuple[nn.Module, Forward]]) -> Iterator[None]:
    """Let modules compute otherwise inside."""
    before = [vars(part).get("forward") for part, _ in parts]
    try:
        for part, forward in parts:
            changed: Any = part
            changed.forward = forward
        yield
    finally:
        for (part, _), own in zip(parts, before, strict=True):
            vars(part).pop("forward", None)
            if own is not None:
                restored: Any = part
                restored.forward = own
