"""Rotary positions of a model, found by turning its keys back."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe import AttentionCall, Recorder, recording
from tokenarium.kernels.rope_shift import rope_shift, rope_shift_together, rotated

_PROBE_TOKENS = 48
_TOLERANCE = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 4e-2}
"""Largest difference of keys turned back allowed, as a share of the largest entry, by dtype."""


@dataclass(frozen=True)
class Rotary:
    """How one layer's queries and keys turn with position (RoPE: Su et al., 2021,
    arXiv:2104.09864).

    The first 2 x len(frequencies) entries of a head turn in pairs: entry i with entry i + half, or
    with its neighbour where ``interleaved``.
    """

    module: nn.Module
    name: str
    interleaved: bool

    def turned(self, x: Tensor, by: Tensor) -> Tensor:
        """Return ``x`` [..., T, D] with vector t moved on by ``by`` [T] positions, in float32."""
        frequencies: Tensor = getattr(self.module, self.name)
        return rope_shift(x, by, frequencies, interleaved=self.interleaved)

    def turn_together(self, x: Tensor, by: int) -> None:
        """Move all vectors ``x`` [..., D] on by as many positions, in place."""
        frequencies: Tensor = getattr(self.module, self.name)
        rope_shift_together(x, by, frequencies, interleaved=self.interleaved)

    def averaged(self, x: Tensor, by: Tensor) -> Tensor:
        """Return the mean over ``by`` [n] of ``x`` [..., D] moved on by so many positions."""
        frequencies: Tensor = getattr(self.module, self.name)
        angle = by.to(torch.float32)[:, None] * frequencies.float()
        return rotated(x, angle.cos().mean(0), angle.sin().mean(0), self.interleaved)


def rotary_layers(loaded: LoadedModel) -> tuple[Rotary | None, ...]:
    """Return how each layer's keys turn; None for a layer without positions.

    The model reads one token again and again, with attention that hands the value through: every
    position then differs from the first by its turn alone, which shows each layer's own.

    Raises:
        ValueError: if some layer's keys depend on their position in another way.
    """
    candidates = list(_candidates(loaded))
    watch = _KeysOfOneToken()
    length = min(_PROBE_TOKENS, loaded.context)
    ids = torch.full((1, length), _repeated_token(loaded), device=loaded.device)
    with torch.inference_mode(), recording(watch):
        loaded.body(input_ids=ids, use_cache=False)
    return tuple(_found(loaded, candidates, keys) for keys in watch.keys)


def _repeated_token(loaded: LoadedModel) -> int:
    """Return the BOS token, of the configuration where there is no tokenizer; else token 0."""
    known = loaded.model.config if loaded.tokenizer is None else loaded.tokenizer
    bos = known.bos_token_id
    return int(bos[0] if isinstance(bos, list) else bos or 0)


class _KeysOfOneToken(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.keys: list[Tensor] = []

    def attend(self, call: AttentionCall) -> Tensor:
        self.keys.append(call.k[0])
        groups = call.q.shape[1] // call.k.shape[1]
        return call.v.repeat_interleave(groups, 1).transpose(1, 2).contiguous()


def _candidates(loaded: LoadedModel) -> Iterator[Rotary]:
    for module in loaded.model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if name.endswith("inv_freq") and "original" not in name and buffer.dim() == 1:
                yield Rotary(module, name, interleaved=False)
                yield Rotary(module, name, interleaved=True)


def _found(loaded: LoadedModel, candidates: list[Rotary], keys: Tensor) -> Rotary | None:
    back = -torch.arange(keys.shape[1], device=keys.device)
    tolerance = _TOLERANCE[loaded.dtype] * float(keys.abs().max())

    def constant(turned: Tensor) -> bool:
        return float((turned - turned[:, :1]).abs().max()) <= tolerance

    if constant(keys.float()):
        return None
    for candidate in candidates:
        fits = 2 * getattr(candidate.module, candidate.name).shape[0] <= keys.shape[-1]
        if fits and constant(candidate.turned(keys, back)):
            return candidate
    raise ValueError(
        f"{loaded.name} does not place its tokens by rotation (RoPE), so keys and queries "
        "cannot be turned to other places: choose a model with rotary positions, such as a Llama"
    )
