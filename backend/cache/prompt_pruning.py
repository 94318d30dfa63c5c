"""Lets only some tokens of a prompt go on to later layers, in models whose layers allow it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tokenarium.backend.models import capabilities
from tokenarium.backend.models.handed_on import refuse_unless_one_stream
from tokenarium.backend.models.loaded import LoadedModel


class PromptPruner:
    """Cuts what layers are given, from the next one on, once ``kept`` has been set in a layer.

    Args:
        loaded: nobody else uses it meanwhile.
        joins: from a layer's number and the states [T, D] that it is given to the index [T] of the
            token that each becomes a part of, itself where it stays, never a later one; None where
            all stay. Asked until it is not None. The states of what is joined are averaged.
    Raises:
        ValueError: if the model's layers cannot go on with some of the tokens alone.
    """

    def __init__(
        self, loaded: LoadedModel, joins: Callable[[int, Tensor], Tensor | None] | None = None
    ) -> None:
        self._layers, self._joins = loaded.layers, joins
        self.kept: Tensor | None = None
        """Ascending indices of the prompt's tokens that go on; None for all. Later layers may set
        fewer of them."""
        self.into: Tensor | None = None
        """[T] the token that each has become a part of; None where none was joined."""
        self._given: Tensor | None = None  # those that the layer before has returned
        refuse_unless_one_stream(loaded, "going on with some of a prompt's tokens")
        capabilities.refuse_unless_prunes(loaded, self)

    @contextmanager
    def over(self, length: int) -> Iterator[None]:
        """Watch one reading of ``length`` tokens.

        What leaves the last layer has all rows again, as some models insist; those of tokens that
        did not go on are NaN.
        """
        self.kept = self._given = self.into = None
        handles = [
            layer.register_forward_pre_hook(partial(self._before, length, number), with_kwargs=True)
            for number, layer in enumerate(self._layers)
        ]
        handles.append(self._layers[-1].register_forward_hook(partial(self._after, length)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _before(
        self, length: int, number: int, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self._joins is not None and self.into is None:
            args, kwargs = self._joined(number, args, kwargs)
        if self.kept is None:
            return None
        cut = _Cut(self.kept, length, self._given)
        self._given = self.kept
        pruned: tuple[Any, ...] = cut(args)
        return pruned, cut(kwargs)

    def _joined(
        self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what a layer is given with the states of joined tokens averaged."""
        assert self._joins is not None
        states: Tensor = args[0] if args else kwargs["hidden_states"]
        self.into = into = self._joins(number, states[0])
        if into is None:
            return args, kwargs
        self.kept = (into == torch.arange(len(into), device=into.device)).nonzero()[:, 0]
        sums = torch.zeros_like(states[0]).index_add_(0, into, states[0])
        sizes = torch.zeros_like(states[0, :, 0]).index_add_(
            0, into, torch.ones_like(states[0, :, 0])
        )
        means = (sums / sizes.clamp(min=1)[:, None])[None]
        if args:
            return (means, *args[1:]), kwargs
        return args, kwargs | {"hidden_states": means}

    def _after(self, length: int, _: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        states: Tensor = output if isinstance(output, Tensor) else output[0]
        if self.kept is None or states.shape[1] == length:
            return None
        whole = states.new_full((1, length, states.shape[2]), float("nan"))
        whole[:, self.kept] = states
        return whole if isinstance(output, Tensor) else type(output)((whole, *output[1:]))


class _Cut:
    """Cuts what is per token to the tokens that go on.

    Args:
        kept: ascending indices of them.
        length: tokens of the prompt.
        given: ascending indices of the tokens whose states the layer before has returned; None for
            all.
    """

    def __init__(self, kept: Tensor, length: int, given: Tensor | None) -> None:
        self._rows = {length: kept}
        if given is not None and len(given) < length:
            self._rows[len(given)] = torch.searchsorted(given, kept)

    def __call__(self, given: Any) -> Any:
        """Return what is [1, n, ...] or [n] per token for the kept ones, also inside others."""
        if isinstance(given, Tensor):
            if given.dim() > 1 and given.shape[0] == 1 and given.shape[1] in self._rows:
                return given[:, self._rows[given.shape[1]]]
            one = given.dim() == 1 and given.shape[0] in self._rows
            return given[self._rows[given.shape[0]]] if one else given
        if isinstance(given, dict):
            return {name: self(value) for name, value in given.items()}
        if type(given) in (tuple, list):
            return type(given)(self(value) for value in given)
        return given
