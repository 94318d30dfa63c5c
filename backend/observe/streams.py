"""Several residual streams side by side, as one: what the model itself reads its answer from.

Gemma 3n carries four (AltUp: Baykal et al., 2023, arXiv:2301.13310). Every layer attends from one
of them and corrects all; after the last layer the model merges them, norms the result and unembeds
it. That merge is what stands for "the residual stream" after every layer.
"""

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

Merge = Callable[[Tensor], Tensor]
"""From streams [N, B, T, D] to [B, T, D]."""

_merges: WeakKeyDictionary[nn.Module, Merge] = WeakKeyDictionary()


def stream(layer: nn.Module, given: Any) -> Tensor:
    """Return the residual stream [B, T, D] of what a layer is given or returns.

    Args:
        layer: of the model.
        given: a tensor, or a tuple that begins with it.
    """
    residual: Tensor = given if isinstance(given, Tensor) else given[0]
    merge = _merges.get(layer)
    return residual if merge is None else merge(residual)


def has_several(layers: Sequence[nn.Module]) -> bool:
    """Return whether what layers hand on is several streams, of which ``stream`` is the merge."""
    return any(layer in _merges for layer in layers)


def merge_streams(decoder: Any, layers: Sequence[nn.Module]) -> Callable[[], None]:
    """Let ``stream`` merge what the layers of a decoder hand on; nothing where it is one stream.

    Args:
        decoder: what holds the layers.
        layers: of it.
    Returns: what forgets that again.
    """
    projections = getattr(decoder, "altup_unembed_projections", None)
    if projections is None:
        return lambda: None

    def merge(streams: Tensor) -> Tensor:
        first = streams[0]
        size = first.pow(2).mean(-1, keepdim=True).sqrt()
        others = [project(one) for project, one in zip(projections, streams[1:], strict=True)]
        sizes = [one.pow(2).mean(-1, keepdim=True).clamp(min=1e-5).sqrt() for one in others]
        alike = [one * size / own for one, own in zip(others, sizes, strict=True)]
        return torch.stack([first, *alike]).mean(0)

    for layer in layers:
        _merges[layer] = merge

    def forget() -> None:
        for layer in layers:
            _merges.pop(layer, None)

    return forget
