"""One attention function for every model: plain attention, or whatever a recorder makes of it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from tokenarium.backend.observe.masks import Band, band_mask
from tokenarium.kernels.attention_stats import AttentionInput

NAME = "tokenarium"
"""The ``attn_implementation`` of every model this project loads."""

QUERY_BLOCK = 256

_WITHOUT_EFFECT = frozenset(
    {
        *("position_ids", "cache_position", "use_cache"),  # have had their effect by then
        *("output_attentions", "output_hidden_states", "output_router_logits", "return_dict"),
        "logits_to_keep",
    }
)
"""Arguments of a model that it hands on to attention, where they change nothing."""


class UnknownArgument(ValueError):  # noqa: N818
    """A model hands its attention something that is not understood here."""


@dataclass(frozen=True)
class AttentionCall:
    """What one attention layer is about to compute.

    ``q`` [B, H, T, D], ``k`` [B, G, S, D] and ``v`` [B, G, S, Dv] are after position encoding and
    after the cache; query i stands at key ``offset + i`` and sees at most ``window`` keys, itself
    included. ``softcap`` c bounds logits as c tanh(x / c). ``sinks`` [H] are learned logits that
    join the softmax's denominator without a key. ``mask`` [B, 1 or H, T, S] is added to the logits.
    ``declared_window`` is the layer's window, also while the text is too short for it to matter.
    ``key_bias`` [H, S] is added to every query's logit of a key (ALiBi: Press et al., 2022,
    arXiv:2108.12409; what all keys of a query share is left out by softmax).
    """

    layer: int
    q: Tensor
    k: Tensor
    v: Tensor
    scaling: float
    offset: int
    window: int | None = None
    softcap: float | None = None
    sinks: Tensor | None = None
    mask: Tensor | None = None
    declared_window: int | None = None
    key_bias: Tensor | None = None

    def inputs(self, sequence: int = 0) -> AttentionInput:
        """Return the inputs of one sequence, as ``kernels.attention_stats`` takes them."""
        mask = None if self.mask is None else self.mask[sequence]
        if self.key_bias is not None:
            mask = self.key_bias[:, None].expand(-1, self.q.shape[2], -1)
        return AttentionInput(
            self.q[sequence],
            self.k[sequence],
            self.v[sequence],
            scaling=self.scaling,
            offset=self.offset,
            window=self.window,
            softcap=self.softcap,
            sinks=self.sinks,
            mask=mask,
        )

    def newest(self) -> "AttentionCall":
        """Return the same with the keys and values of the queries' own tokens alone."""
        new = self.q.shape[2]
        if self.k.shape[2] == new:
            return self
        return replace(self, k=self.k[:, :, -new:], v=self.v[:, :, -new:])

    def of_head(self, head: int, queries: slice = slice(None)) -> "AttentionCall":
        """Return the same for one query head and its keys, and for some of the queries."""
        only = slice(head, head + 1)
        group = head * self.k.shape[1] // self.q.shape[1]
        mask = self.mask
        if mask is not None:
            mask = mask[:, only if mask.shape[1] > 1 else slice(0, 1), queries]
        return replace(
            self,
            q=self.q[:, only, queries],
            k=self.k[:, group : group + 1],
            v=self.v[:, group : group + 1],
            offset=self.offset + (queries.start or 0),
            sinks=None if self.sinks is None else self.sinks[only],
            mask=mask,
            key_bias=None if self.key_bias is None else self.key_bias[only],
        )


class Recorder:
    """Sees every attention layer of a forward pass; subclasses override ``attend``."""

    def __init__(self) -> None:
        self.order: list[int] = []

    @property
    def firings(self) -> Counter[int]:
        """How often each layer fired."""
        return Counter(self.order)

    def observe(self, call: AttentionCall) -> Tensor:
        """Note that a layer fired and return its attention output [B, T, H, Dv]."""
        self.order.append(call.layer)
        return self.attend(call).contiguous()  # some families view it as [B, T, H * Dv]

    def attend(self, call: AttentionCall) -> Tensor:
        """Compute the attention output [B, T, H, Dv] of ``call``."""
        return plain_attention(call)


_active: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


_at_work: ContextVar[int] = ContextVar("layer", default=-1)


@contextmanager
def at_layer(layer: int) -> Iterator[None]:
    """Name the decoder layer at work, for attention that several layers share."""
    token = _at_work.set(layer)
    try:
        yield
    finally:
        _at_work.reset(token)


@contextmanager
def recording(recorder: Recorder) -> Iterator[Recorder]:
    """Hand every attention layer run in this context to ``recorder``."""
    token = _active.set(recorder)
    try:
        yield recorder
    finally:
        _active.reset(token)


def active_recorder() -> Recorder | None:
    """Return what sees the attention of this context."""
    return _active.get()


def install() -> None:
    """Register the attention function and its masks with transformers; safe to repeat."""
    AttentionInterface.register(NAME, _observed_attention)
    AttentionMaskInterface.register(NAME, band_mask)


def _observed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Band | Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    position_bias: Tensor | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    for name, given in others.items():
        if given is not None and name not in _WITHOUT_EFFECT:
            raise UnknownArgument(
                f"its attention is handed {name}, which is not understood here: choose a model "
                "whose attention goes by queries, keys, a mask, a window, a cap and learned sinks"
            )
    if dropout:
        raise ValueError(f"dropout={dropout} is not instrumented: put the model in eval mode")
    if softcap is not None and softcap <= 0:
        raise UnknownArgument(
            f"its attention is capped at softcap={softcap:g}, which must be above 0: correct the "
            "field of its config.json"
        )
    if position_bias is not None:
        raise ValueError("position_bias is not instrumented: use a model without learned biases")
    if attention_mask is None and not _is_causal(module, is_causal):
        raise ValueError("is_causal=False is not instrumented: use a causal language model")
    band = attention_mask if isinstance(attention_mask, Band) else None
    call = AttentionCall(
        layer=_layer_of(module),
        q=query,
        k=key,
        v=value,
        scaling=query.shape[-1] ** -0.5 if scaling is None else float(scaling),
        offset=band.offset if band else key.shape[2] - query.shape[2],
        window=band.window if band else None,
        softcap=softcap,
        sinks=s_aux,
        mask=_additive(attention_mask, query),
        declared_window=band.declared if band else sliding_window,
    )
    recorder = _active.get()
    return (plain_attention(call) if recorder is None else recorder.observe(call)), None


def _layer_of(module: nn.Module) -> int:
    """Return the number of the layer that a module attends in; -1 where nothing says it."""
    own = getattr(module, "layer_idx", None)
    return _at_work.get() if own is None or own < 0 else int(own)


def _is_causal(module: nn.Module, asked: bool | None) -> bool:
    return bool(getattr(module, "is_causal", True)) if asked is None else asked


def _additive(mask: Band | Tensor | None, query: Tensor) -> Tensor | None:
    if not isinstance(mask, Tensor):
        return None
    if mask.dtype != torch.bool:
        return mask
    lowest = torch.finfo(query.dtype).min
    return torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, lowest)


def plain_attention(call: AttentionCall) -> Tensor:
    """Compute attention as the model defines it and nothing else, in O(T) memory.

    Returns: [B, T, H, Dv], in the dtype of the queries.
    """
    q, k, v = call.q, call.k, call.v
    length, keys = q.shape[2], k.shape[2]
    special = call.softcap is not None or call.sinks is not None
    # Far keys have large biases, which half precision would round to the same number.
    special |= call.key_bias is not None and q.dtype != torch.float32
    whole = call.key_bias is None and call.window is None
    whole = whole and call.offset + length == keys and (length == keys or length == 1)
    if not special and (call.mask is not None or whole):
        out = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=None if call.mask is None else call.mask.to(q.dtype),
            is_causal=call.mask is None and length > 1,
            scale=call.scaling,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        return out.transpose(1, 2).contiguous()
    blocks = [
        _block(call, start, min(start + QUERY_BLOCK, length), special)
        for start in range(0, length, QUERY_BLOCK)
    ]
    return torch.cat(blocks, dim=2).transpose(1, 2).contiguous()


def _block(call: AttentionCall, start: int, stop: int, special: bool) -> Tensor:
    """Attention of the queries [start, stop) over the keys they can see."""
    oldest, newest = 0, call.k.shape[2]
    if call.mask is None:
        newest = call.offset + stop
        oldest = 0 if call.window is None else max(0, call.offset + start - call.window + 1)
    q = call.q[:, :, start:stop]
    groups = q.shape[1] // call.k.shape[1]
    k = call.k[:, :, oldest:newest].repeat_interleave(groups, 1)
    v = call.v[:, :, oldest:newest].repeat_interleave(groups, 1)
    if call.mask is not None:
        bias = call.mask[:, :, start:stop].to(q.dtype)
    else:
        bias = _band_bias(call, start, stop, oldest, newest)
    if call.key_bias is not None:
        bias = bias + call.key_bias[None, :, None, oldest:newest]
    if not special:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=call.scaling)
    scores = q @ k.mT * call.scaling
    if call.softcap is not None:
        scores = torch.tanh(scores / call.softcap) * call.softcap
    scores = scores + bias
    if call.sinks is not None:
        sink = call.sinks.to(scores.dtype).view(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        scores = torch.cat((scores, sink), dim=-1)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype)
    return weights[..., : v.shape[2]] @ v


def _band_bias(call: AttentionCall, start: int, stop: int, oldest: int, newest: int) -> Tensor:
    device = call.q.device
    position = torch.arange(start, stop, device=device)[:, None] + call.offset
    key = torch.arange(oldest, newest, device=device)
    hidden = key > position
    if call.window is not None:
        hidden |= key <= position - call.window
    bias = torch.zeros(hidden.shape, dtype=call.q.dtype, device=device)
    return bias.masked_fill_(hidden, torch.finfo(call.q.dtype).min)
