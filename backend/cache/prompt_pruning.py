"""Lets only some tokens of a prompt go on to later layers, in models whose layers allow it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe import AttentionCall, Recorder, recording

_PROBE_TOKENS, _PROBE_KEPT = 7, (0, 2, 3, 6)
_TOLERANCE = 0.05
"""Largest difference of keys allowed, as a share of the largest entry; a wrong token shows more."""


class PromptPruner:
    """Cuts what layers are given, from the next one on, once ``kept`` has been set in a layer.

    Raises:
        ValueError: if the model's layers cannot go on with some of the tokens alone.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._layers = loaded.layers
        self.kept: Tensor | None = None
        """Ascending indices of the prompt's tokens that go on; None for all."""
        _check(loaded, self)

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
        states: Tensor = output[0] if isinstance(output, tuple) else output
        if self.kept is None or states.shape[1] == length:
            return None
        whole = states.new_full((1, length, states.shape[2]), float("nan"))
        whole[:, self.kept] = states
        return (whole, *output[1:]) if isinstance(output, tuple) else whole


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


class _EachByItself(Recorder):
    """Hands every token's own value through, so that no token depends on another."""

    def __init__(self, pruner: PromptPruner | None, kept: Tensor) -> None:
        super().__init__()
        self._pruner, self._kept = pruner, kept
        self.keys: list[Tensor] = []
        self.windows = False

    def attend(self, call: AttentionCall) -> Tensor:
        self.keys.append(call.k[0].float())
        self.windows |= call.declared_window is not None
        if self._pruner is not None:
            self._pruner.kept = self._kept
        groups = call.q.shape[1] // call.k.shape[1]
        return call.v.repeat_interleave(groups, 1).transpose(1, 2).contiguous()


def _check(loaded: LoadedModel, pruner: PromptPruner) -> None:
    """Read a few tokens whole and cut: with attention to oneself alone, keys must be the same."""
    kept = torch.tensor(_PROBE_KEPT, device=loaded.device)
    whole, cut = _EachByItself(None, kept), _EachByItself(pruner, kept)
    ids = torch.arange(_PROBE_TOKENS, device=loaded.device)[None]
    reason = "its layers mix tokens up when some are left out"
    try:
        with torch.inference_mode():
            with recording(whole):
                loaded.body(input_ids=ids, use_cache=False)
            with recording(cut), pruner.over(_PROBE_TOKENS):
                loaded.body(input_ids=ids, use_cache=False)
        fits = all(_same(own[:, kept], found) for own, found in _later(whole, cut))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        fits, reason = False, f"its layers refuse it ({error})"
    if whole.windows:
        fits, reason = False, "it has layers that see a window, where a gap would count as nothing"
    if not fits:
        raise ValueError(
            f"{loaded.name} cannot go on with some of a prompt's tokens after a layer: {reason}; "
            "choose another policy, or a model such as a Llama"
        )


def _later(whole: _EachByItself, cut: _EachByItself) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the keys of every layer but the first, which sees all tokens in both readings."""
    yield from zip(whole.keys[1:], cut.keys[1:], strict=True)


def _same(expected: Tensor, found: Tensor) -> bool:
    most = _TOLERANCE * float(expected.abs().max())
    return expected.shape == found.shape and float((expected - found).abs().max()) <= most
