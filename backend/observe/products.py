"""Products of linear layers by oneDNN, where the library that torch takes for float32 is slower."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from tokenarium.backend.models.loaded import LoadedModel

Forward = Callable[[Tensor], Tensor]
FEW = 4
"""Rows below which MKL is the faster of the two, unless a layer has many outputs."""
MANY = 8192
"""Outputs from which oneDNN is the faster for one row, too."""


def linear_layers(loaded: LoadedModel) -> tuple[nn.Linear, ...]:
    """Return the linear layers of a model's body, in order; none of a subclass."""
    return tuple(part for part in loaded.body.modules() if type(part) is nn.Linear)


@contextmanager
def replaced(parts: Sequence[nn.Linear], forwards: Sequence[Forward]) -> Iterator[None]:
    """Let linear layers compute otherwise inside; their hooks see it as ever."""
    before = [vars(part).get("forward") for part in parts]
    try:
        for part, forward in zip(parts, forwards, strict=True):
            part.forward = forward  # type: ignore[method-assign, assignment]
        yield
    finally:
        for part, own in zip(parts, before, strict=True):
            if own is None:
                vars(part).pop("forward", None)
            else:
                part.forward = own  # type: ignore[method-assign]


@contextmanager
def quick_products(loaded: LoadedModel) -> Iterator[None]:
    """Multiply by oneDNN inside, in float32 as ever; what has gradients is multiplied by torch.

    MKL, which torch takes for float32, leaves half of an AMD processor's AVX-512 units idle. On a
    Zen 5 core 1,000 rows by [1536, 576] are 107 GFLOP/s with it, and 247 with oneDNN, which sums
    in another order; one row by [49152, 576] takes 7.0 and 3.8 ms. Elsewhere nothing changes.
    """
    if loaded.dtype != torch.float32 or loaded.device.type != "cpu" or not onednn_is_faster():
        yield
        return
    head = loaded.model.get_output_embeddings()
    parts = (*linear_layers(loaded), *([head] if type(head) is nn.Linear else []))
    with replaced(parts, [_by_onednn(part) for part in parts]):
        yield


@cache
def onednn_is_faster() -> bool:
    """Return whether this is an AMD processor with AVX-512 whose torch offers oneDNN's product."""
    able = torch.cpu.get_capabilities()
    if not (able.get("avx512_f") and str(able.get("cpu_name", "")).startswith("AMD")):
        return False
    product = _product()
    if product is None:
        return False
    given, weight = torch.linspace(-1, 1, 56).view(7, 8), torch.linspace(-2, 1, 24).view(3, 8)
    try:
        found = product(given, weight, None)
    except RuntimeError:
        return False
    return torch.allclose(found, linear(given, weight), atol=1e-5)


def _product() -> Callable[[Tensor, Tensor, Tensor | None], Tensor] | None:
    """Return the operation that torch's own compiler takes for linear layers; None without it."""
    operation: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if operation is None:
        return None
    return lambda given, weight, bias: operation(given, weight, bias, "none", [], "")


def _by_onednn(part: nn.Linear) -> Forward:
    product = _product()
    assert product is not None

    def forward(given: Tensor) -> Tensor:
        weight, bias = part.weight, part.bias  # as they are now: some are exchanged meanwhile
        few = given.numel() < FEW * given.shape[-1] and weight.shape[0] < MANY
        plain = given.dtype == weight.dtype == torch.float32
        if few or not plain or torch.is_grad_enabled():
            return linear(given, weight, bias)
        return product(given, weight, bias)

    return forward
