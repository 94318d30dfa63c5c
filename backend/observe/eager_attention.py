"""Attention that a model computes by itself, observed: queries by keys, softmax, by values.

Older families of transformers multiply queries by keys, scale, mask and normalise in their own
code, and never ask the attention interface. Inside one of their layers such a product is not
computed but noted (``Noted``), with what is done to it; the product of the weights with values
becomes an ``AttentionCall``. What is not understood is computed as it stands, and then no attention
is seen.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tokenarium.backend.observe.attention import (
    AttentionCall,
    UnknownArgument,
    active_recorder,
    at_layer,
)
from tokenarium.backend.observe.eager_masks import bias_of
from tokenarium.backend.observe.noted import Formula, Noted

_PRODUCTS = frozenset({"matmul", "bmm", "__matmul__"})


Undo = Callable[[], None]


def observe_layers(layers: Iterable[nn.Module], windows: Iterable[int | None]) -> Undo:
    """Let recorders see the attention of layers that compute it by themselves.

    Args:
        layers: decoder layers, in order.
        windows: of each layer, going by the configuration; None where it sees all.
    Returns: what puts the layers back as they were.
    """
    undo = [
        _replace(layer, _watched(layer.forward, number, window))
        for number, (layer, window) in enumerate(zip(layers, windows, strict=True))
    ]
    return _together(undo)


def number_layers(layers: Sequence[nn.Module]) -> Undo:
    """Let attention that layers share, numbered -1, know in which of them it is (Zamba 2).

    Returns: what puts the layers back as they were.
    """
    modules = (module for layer in layers for module in layer.modules())
    if all(getattr(module, "layer_idx", None) != -1 for module in modules):
        return lambda: None
    undo = [
        _replace(layer, _numbered(layer.forward, number)) for number, layer in enumerate(layers)
    ]
    return _together(undo)


def _together(undo: Sequence[Undo]) -> Undo:
    def all_of_them() -> None:
        for each in undo:
            each()

    return all_of_them


def _replace(layer: Any, forward: Callable[..., Any]) -> Undo:
    """Give a layer another forward pass; what it has of its own comes back."""
    before = vars(layer).get("forward")
    layer.forward = forward

    def undo() -> None:
        del layer.forward
        if before is not None:
            layer.forward = before

    return undo


def _numbered(forward: Callable[..., Any], layer: int) -> Callable[..., Any]:
    @wraps(forward)
    def numbered(*args: Any, **kwargs: Any) -> Any:
        with at_layer(layer):
            return forward(*args, **kwargs)

    return numbered


def _watched(forward: Callable[..., Any], layer: int, window: int | None) -> Callable[..., Any]:
    @wraps(forward)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if active_recorder() is None:
            return forward(*args, **kwargs)
        hidden = args[0] if args else kwargs["hidden_states"]
        with _Noting(layer, window, hidden.shape[0]):
            return forward(*args, **kwargs)

    return watched


class _Noting(TorchFunctionMode):
    """Notes products of queries and keys in one layer."""

    def __init__(self, layer: int, window: int | None, batch: int) -> None:
        super().__init__()
        self._layer, self._window, self._batch = layer, window, batch

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, func.__name__
        if name in _PRODUCTS and not any(isinstance(x, Noted) for x in args):
            x, y = args
            if x.dim() > 2 and y.dim() > 2:
                return Noted(self._formula(x, y.mT), x.dtype)
        if name == "baddbmm":
            added, x, y = args if len(args) == 3 else (args[0], kwargs["batch1"], kwargs["batch2"])
            noted = self._formula(x, y.mT).times(kwargs.get("alpha", 1))
            return Noted(noted.plus(added * kwargs.get("beta", 1)), x.dtype)
        if name == "scaled_dot_product_attention":
            return self._scaled(*args, **kwargs)
        return func(*args, **kwargs)

    def _formula(self, q: Tensor, k: Tensor) -> Formula:
        lead = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2])
        return Formula(q, k, self._batch, self._attend, (*lead, q.shape[-2], k.shape[-2]))

    def _scaled(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Attend as ``torch.nn.functional.scaled_dot_product_attention`` documents."""
        if dropout_p:
            raise UnknownArgument(f"dropout_p={dropout_p} is not observed: use evaluation mode")
        if enable_gqa:
            query = query.unflatten(-3, (key.shape[-3], -1))
            key, value = key.unsqueeze(-3), value.unsqueeze(-3)
            attn_mask = None if attn_mask is None else attn_mask.unsqueeze(-3)
        formula = self._formula(query, key.to(query.dtype))
        formula = formula.times(query.shape[-1] ** -0.5 if scale is None else scale)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            formula = formula.hiding(~attn_mask)
        elif attn_mask is not None:
            formula = formula.plus(attn_mask)
        if is_causal:
            ones = torch.ones(formula.shape[-2:], dtype=torch.bool, device=query.device)
            formula = formula.hiding(ones.triu(1))
        out = self._attend(formula, value)
        return out.flatten(-4, -3) if enable_gqa else out

    def _attend(self, formula: Formula, values: Tensor) -> Tensor:
        """Hand attention to the recorder, and return its output [*, T, Dv]."""
        recorder = active_recorder()
        assert recorder is not None, "nothing is noted without a recorder"
        lead, batch, heads = formula.shape[:-2], formula.batch, formula.heads
        q = formula.q.expand(*formula.lead, *formula.q.shape[-2:])
        q = q.reshape(batch, heads, *q.shape[-2:])
        k, v = _by_head(formula.k, formula.lead, batch), _by_head(values, lead, batch)
        if k.shape[1] != v.shape[1]:
            k, v = (x.repeat_interleave(heads // x.shape[1], 1) for x in (k, v))
        bias = bias_of(formula.added, heads, q.shape[2], k.shape[2], formula.zeroed)
        if bias.window not in (None, self._window):
            raise UnknownArgument(
                f"its attention sees the latest {bias.window} tokens alone, for which its "
                f"configuration names {self._window}: choose another model"
            )
        call = AttentionCall(
            layer=self._layer,
            q=q.to(v.dtype),
            k=k.to(v.dtype),
            v=v,
            scaling=formula.factor,
            offset=k.shape[2] - q.shape[2],
            window=bias.window,
            mask=bias.mask,
            declared_window=self._window,
            key_bias=bias.by_key,
        )
        out = recorder.observe(call).transpose(1, 2)
        return out.reshape(*lead, *out.shape[-2:])


def _by_head(x: Tensor, lead: Sequence[int], batch: int) -> Tensor:
    """Return keys or values [*, S, D] as [B, G, S, D]; queries share them where * ends in 1."""
    own = (*(1,) * (len(lead) + 2 - x.dim()), *x.shape[:-2])
    shared = len(lead) > 1 and own[:-1] == tuple(lead[:-1]) and own[-1] == 1
    x = x.expand(*(own if shared else lead), *x.shape[-2:])
    return x.reshape(batch, -1, *x.shape[-2:])
