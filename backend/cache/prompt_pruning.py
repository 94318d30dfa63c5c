"""Lets only some tokens of a prompt go on to later layers, in models whose layers allow it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel


class PromptPruner:
    """Cuts what layers are given, from the next one on, once ``kept`` has been set in a layer.

    Raises:
        ValueError: if the model's layers cannot go on with some of the tokens alone.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._layers = loaded.layers
        self.kept: Tensor | None = None
        """Ascending indices of the prompt's tokens that go on; None for all."""
        capabilities.refuse_unless_prunes(loaded, self)

    @contextmanager
    def over(self, length: int) -> Iterator[None]:
        """Watch one reading of ``length`` tokens.

        What leaves the last layer has all rows again, as some models insist; those of tokens that
        did not go on are NaN.
        """
        self.kept = None
        handles = [
            layer.register_forward_pre_hook(partial(self._before, length), with_kwargs=True)
            for layer in self._layers
        ]
        handles.append(self._layers[-1].register_forward_hook(partial(self._after, length)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _before(
        self, length: int, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self.kept is None:
            return None
        pruned: tuple[Any, ...] = _cut(args, self.kept, length)
        return pruned, _cut(kwargs, self.kept, length)

    def _after(self, length: int, _: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        states: Tensor = output if isinstance(output, Tensor) else output[0]
        if self.kept is None or states.shape[1] == length:
            return None
        whole = states.new_full((1, length, states.shape[2]), float("nan"))
        whole[:, self.kept] = states
        return whole if isinstance(output, Tensor) else type(output)((whole, *output[1:]))


def _cut(given: Any, kept: Tensor, length: int) -> Any:
    """Return what is per token for the kept ones: [1, T, ...] and [T], also inside others."""
    if isinstance(given, Tensor):
        if given.dim() > 1 and given.shape[:2] == (1, length):
            return given[:, kept]
        return given[kept] if given.shape == (length,) else given
    if isinstance(given, dict):
        return {name: _cut(value, kept, length) for name, value in given.items()}
    if type(given) in (tuple, list):
        return type(given)(_cut(value, kept, length) for value in given)
    return given
