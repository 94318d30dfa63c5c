"""What a reduction works on: a calibration text, a held-out text, and a model's parts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.reduction.stepper import Stepper

_MLP = ("mlp", "feed_forward", "block_sparse_moe")
_ACTIVATIONS = ("act_fn", "activation_fn", "act", "activation")


@dataclass(frozen=True)
class Bench:
    """The texts and the model that a reduction is tried on."""

    loaded: LoadedModel
    calibration: Stepper
    """On what thresholds are set and searches are judged."""
    held_out: Stepper
    """On what every loss is measured that is reported."""
    seed: int

    @property
    def layers(self) -> int:
        """L."""
        return len(self.loaded.layers)

    @property
    def whole(self) -> NDArray[np.float64]:
        """[L, 2] ones: all of every layer."""
        return np.ones((self.layers, 2))

    @property
    def arithmetic(self) -> NDArray[np.float64]:
        """[L, 2] share of the layers' multiplications that attention and MLP of each take.

        Multiplications by weights: one for each entry of a matrix and token.
        """
        counts = np.zeros((self.layers, 2))
        for number, layer in enumerate(self.loaded.layers):
            mlp = mlp_of(layer)
            counts[number, 1] = 0 if mlp is None else _entries(mlp)
            counts[number, 0] = _entries(layer) - counts[number, 1]
        shares: NDArray[np.float64] = counts / counts.sum()
        return shares

    def activations(self) -> tuple[nn.Module, ...]:
        """Return by layer the module that computes the activation of its MLP.

        Raises: ValueError where a layer has none of its own.
        """
        found = []
        for layer in self.loaded.layers:
            mlp = mlp_of(layer)
            places = [layer] if mlp is None else [mlp]
            named = [getattr(place, name, None) for place in places for name in _ACTIVATIONS]
            found += [each for each in named if isinstance(each, nn.Module)][:1]
        if len({id(each) for each in found}) < self.layers:
            raise ValueError(
                f"the MLPs of {self.loaded.name} have no activation of their own to cut (experts "
                "share theirs): choose another method or model"
            )
        return tuple(found)


def mlp_of(layer: nn.Module) -> nn.Module | None:
    """Return the MLP of a layer; None where it has no module of its own."""
    return next((getattr(layer, name) for name in _MLP if hasattr(layer, name)), None)


@contextmanager
def hooked(modules: Sequence[nn.Module], hooks: Sequence[Any]) -> Iterator[None]:
    """Let a hook see and change what each module gives."""
    handles = [
        module.register_forward_hook(hook) for module, hook in zip(modules, hooks, strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _entries(part: nn.Module) -> int:
    matrices: Mapping[int, int] = {
        id(each): each.numel() for each in part.parameters() if each.dim() > 1
    }
    return sum(matrices.values())
