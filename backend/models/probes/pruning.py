"""Whether a model's layers can go on with some of a prompt's tokens alone."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.probes.values_through import ValuesThrough
from tokenarium.backend.observe import AttentionCall, recording

_PROBE_TOKENS, _PROBE_KEPT = 7, (0, 2, 3, 6)
_TOLERANCE = 0.05
"""Largest difference of keys allowed, as a share of the largest entry; a wrong token shows more."""


class Pruner(Protocol):
    """What cuts the tokens that layers are given."""

    kept: Tensor | None
    """Ascending indices of the tokens that go on; None for all."""

    def over(self, length: int) -> AbstractContextManager[None]:
        """Watch one reading of ``length`` tokens."""
        ...


class _EachByItself(ValuesThrough):
    """Prunes in every layer, and notes whether one sees a window."""

    def __init__(self, pruner: Pruner | None, kept: Tensor) -> None:
        super().__init__()
        self._pruner, self._kept = pruner, kept
        self.windows = False

    def attend(self, call: AttentionCall) -> Tensor:
        self.windows |= call.declared_window is not None
        if self._pruner is not None:
            self._pruner.kept = self._kept
        return super().attend(call)


def refuse_unless_prunes(loaded: LoadedModel, pruner: Pruner) -> None:
    """Read a few tokens whole and cut: with attention to oneself alone, keys must be the same.

    Raises:
        ValueError: if they are not, or a layer refuses.
    """
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
        fits = all(_same(own.float()[:, kept], found.float()) for own, found in _later(whole, cut))
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
