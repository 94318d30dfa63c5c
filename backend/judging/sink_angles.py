"""How queries point to the first key and to others, layer by layer, without an attention matrix."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.observe import AttentionCall, Recorder
from tokenarium.kernels.attention_stats import Want, attention_stats


class SinkAngles(Recorder):
    """Attends as the model does, and keeps what ``SinkBias.by_head`` returns, by layer.

    Args:
        length: T tokens of the text.
        others: most other keys that are looked at.
        check: called in every layer; raises to stop.
    """

    def __init__(self, length: int, others: int, check: Callable[[], None]) -> None:
        super().__init__()
        self._check = check
        count = min(others, max(1, length - 2))
        self._others = np.unique(np.linspace(1, max(1, length - 2), count).astype(int))
        self.found: dict[str, list[NDArray[Any]]] = {}

    def attend(self, call: AttentionCall) -> Tensor:
        """Return the layer's outputs [1, T, H, Dv]."""
        self._check()
        out, stats = attention_stats(call.inputs(), Want(columns=(0,)))
        assert stats.columns is not None
        each = call.q.shape[1] // call.k.shape[1]
        q, k, v = call.q[0].float(), call.k[0].float(), call.v[0].float()
        length = q.shape[1]
        seen = length if call.window is None else min(length, call.window)
        keys = k.repeat_interleave(each, 0)  # [H, T, D]
        logits = (q @ keys[:, :1].mT)[..., 0]  # [H, T]
        size = q.norm(dim=2)
        cosine = logits / (size * keys[:, :1].norm(dim=2)).clamp(min=1e-12)
        own = cosine[:, :seen]
        values = v.norm(dim=2).repeat_interleave(each, 0)  # [H, T]
        others, constant = self._of_others(q, keys, size, call.window)
        hidden = cosine.clone()
        hidden[:, seen:] = float("nan")
        self._add("attention", stats.columns[:, 0, :seen].mean(1))
        self._add("cosine", hidden)
        self._add("others", others)
        self._add("spread", own.std(1, correction=0))
        self._add("constant", _constant(logits[:, :seen]))
        self._add("constant_others", constant)
        self._add("value_ratio", values[:, 0] / values.median(1).values.clamp(min=1e-12))
        return out[None]

    def _of_others(
        self, q: Tensor, keys: Tensor, size: Tensor, window: int | None
    ) -> tuple[Tensor, Tensor]:
        """Return [H, o] mean cosines of other keys with the queries that see them, and [H] the
        share of their logits that is constant."""
        cosines, constants = [], []
        for j in self._others.tolist():
            stop = q.shape[1] if window is None else min(q.shape[1], j + window)
            if j >= q.shape[1]:
                continue
            logits = (q[:, j:stop] @ keys[:, j, :, None])[..., 0]
            whole = size[:, j:stop] * keys[:, j].norm(dim=1)[:, None]
            cosines.append((logits / whole.clamp(min=1e-12)).mean(1))
            constants.append(_constant(logits))
        return torch.stack(cosines, 1), torch.stack(constants, 1).mean(1)

    def _add(self, name: str, values: Tensor) -> None:
        self.found.setdefault(name, []).append(values.double().cpu().numpy())


def _constant(logits: Tensor) -> Tensor:
    """Return [H] mean(l)^2 / mean(l^2) of logits [H, n]; 1 where none of them is other than 0."""
    squares = logits.square().mean(1)
    found: Tensor = (logits.mean(1).square() / squares.clamp(min=1e-30)).where(squares > 0, 1.0)
    return found
