"""Attention of some layers within a window of latest tokens, beside a few first ones."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.observe.attention import AttentionCall, Recorder, plain_attention
from tokenarium.backend.reduction.patterns import Step, by_choice
from tokenarium.backend.reduction.routed import plain_mask
from tokenarium.backend.reduction.stepper import Stepper


class Spans(Recorder):
    """Attends as the model does, or within a window of latest tokens and the first ones.

    Args:
        window: latest tokens that are seen, the query's own included.
        first: first tokens of the text that are always seen.
    """

    def __init__(self, window: int, first: int) -> None:
        super().__init__()
        self._window, self._first = window, first
        self._short = False
        self._shares: dict[tuple[int, bool], float] = {}

    def step(self, text: Stepper, short: int) -> Step:
        """Return a step in which layers attend within the window where ``short`` is chosen."""

        def attending(*, within: bool, layer: int, states: Tensor) -> Tensor:
            self._short = within
            return text.layer(layer, states)

        ways = [
            lambda layer, states, within=within: attending(
                within=within, layer=layer, states=states
            )
            for within in ((False, True) if short else (True, False))
        ]
        return by_choice(ways)

    def shares(self, layers: int) -> NDArray[np.float64]:
        """Return [L, 2] the share of pairs of query and key that each layer sees, in full and not.

        1 is every pair of a causal text; a layer that has a window of its own sees fewer.
        """
        return np.array(
            [[self._shares.get((layer, short), 1.0) for short in (False, True)]
             for layer in range(layers)]
        )  # fmt: skip

    def attend(self, call: AttentionCall) -> Tensor:
        """Return the output of the layer."""
        known = (call.layer, self._short) in self._shares
        if known and not self._short:
            return plain_attention(call)
        mask = plain_mask(call)
        length = call.q.shape[2]
        if self._short:
            place = torch.arange(length, device=mask.device)
            far = (place[:, None] - place[None] >= self._window) & (place[None] >= self._first)
            mask = mask.masked_fill(far, torch.finfo(mask.dtype).min)
        if not known:
            seen = float((mask > torch.finfo(mask.dtype).min / 2).double().mean(1).sum())
            self._shares[call.layer, self._short] = seen / (length * (length + 1) / 2)
        if not self._short:
            return plain_attention(call)
        return plain_attention(replace(call, mask=mask, window=None))
