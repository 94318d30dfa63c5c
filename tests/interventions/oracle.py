"""A whole run with edited attention, by transformers' own modules and full matrices."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

Edit = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]
"""(attention module, weights [H, T, T], q [H, T, D], k [H, T, D]) to changed weights."""

NAME = "edited_in_full"
_edit: list[Edit] = []
_seen: list[tuple[Tensor, Tensor]] = []


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    groups = query.shape[1] // key.shape[1]
    q, k, v = query[0], key[0].repeat_interleave(groups, 0), value[0].repeat_interleave(groups, 0)
    logits = q @ k.mT * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    logits = logits + attention_mask[0]
    if s_aux is not None:
        logits = torch.cat((logits, s_aux[:, None, None].expand(-1, len(q[0]), 1)), -1)
    weights = logits.softmax(-1)[..., : k.shape[1]]
    changed = _edit[0](module, weights, q, k)
    _seen.append((weights, changed))
    return (changed @ v).transpose(0, 1)[None], None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, eager_mask)


@dataclass(frozen=True)
class Expected:
    """What follows from full matrices, in float64."""

    log_p: np.ndarray
    """[T, V] ln of the distribution after each token."""
    surprisal: np.ndarray
    entropy: np.ndarray
    received: np.ndarray
    """[L, H, T]"""
    taken: np.ndarray
    """[L, H]"""


def plain(module: nn.Module, weights: Tensor, q: Tensor, k: Tensor) -> Tensor:
    return weights


def run(model: PreTrainedModel, ids: list[int], edit: Edit = plain) -> Expected:
    before = model.config._attn_implementation
    _edit[:], _seen[:] = [edit], []
    model.set_attn_implementation(NAME)
    try:
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0].double()
    finally:
        model.set_attn_implementation(before)
    log_p = logits.log_softmax(-1).numpy()
    own = torch.stack([pair[0] for pair in _seen]).double().numpy()
    changed = torch.stack([pair[1] for pair in _seen]).double().numpy()
    length = len(ids)
    surprisal = np.full(length, np.nan)
    surprisal[1:] = -log_p[np.arange(length - 1), ids[1:]]
    return Expected(
        log_p=log_p,
        surprisal=surprisal,
        entropy=-(np.exp(log_p) * log_p).sum(-1),
        received=changed.sum(2) / (length - np.arange(length)),
        taken=np.maximum(0, own - changed).sum(-1).mean(-1),
    )
