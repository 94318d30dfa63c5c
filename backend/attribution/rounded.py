"""Linear layers that multiply in bfloat16, where the processor does that faster."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import linear

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe.products import linear_layers, replaced


def why_not(loaded: LoadedModel) -> str:
    """Return why bfloat16 would not be faster here; empty where it is."""
    if loaded.dtype != torch.float32:
        return f"the weights are {str(loaded.dtype).removeprefix('torch.')} already"
    if loaded.device.type != "cpu":
        return "the device is no CPU"
    able = torch.cpu.get_capabilities()
    if not (able.get("avx512_bf16") or able.get("amx_bf16")):
        return "this processor has no bfloat16 instructions (AVX512_BF16 or AMX)"
    return ""


class Products:
    """Weights of a model's linear layers in bfloat16; half the memory of the layers themselves.

    Args:
        loaded: a float32 model; its own weights stay as they are.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._layers = linear_layers(loaded)
        self._weights = [
            (
                part.weight.detach().bfloat16(),
                None if part.bias is None else part.bias.detach().bfloat16(),
            )
            for part in self._layers
        ]

    @contextmanager
    def rounded(self) -> Iterator[None]:
        """Multiply in bfloat16 inside; norms, attention and the residual stay float32."""
        # Queries, keys and values are of one input, and so are gate and up: rounded once.
        last: list[Tensor] = []
        forwards = [_forward(weight, bias, last) for weight, bias in self._weights]
        with replaced(self._layers, forwards):
            yield


def _forward(weight: Tensor, bias: Tensor | None, last: list[Tensor]) -> Callable[[Tensor], Tensor]:
    def forward(given: Tensor) -> Tensor:
        if not last or last[0] is not given:
            last[:] = [given, given.bfloat16()]
        return linear(last[1], weight, bias).float()

    return forward
