"""How a model places its tokens, found by turning its keys back."""

from collections.abc import Iterator

import torch
from torch import Tensor

from tokenarium.backend.models.layer_kinds import state_kinds
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.probes.values_through import ValuesThrough
from tokenarium.backend.observe import AttentionCall, recording
from tokenarium.backend.observe.rotary import Rotary

_PROBE_TOKENS = 48
_TOLERANCE = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 4e-2}
"""Largest difference of keys turned back allowed, as a share of the largest entry, by dtype."""


def rotary_layers(loaded: LoadedModel) -> tuple[Rotary | None, ...]:
    """Return how each layer's keys turn; None for a layer without positions, or without attention.

    The model reads one token again and again, with attention that hands the value through: every
    position then differs from the first by its turn alone, which shows each layer's own.

    Raises:
        ValueError: if some layer's keys depend on their position in another way.
    """
    candidates = list(_candidates(loaded))
    watch = ValuesThrough()
    length = min(_PROBE_TOKENS, loaded.context)
    ids = torch.full((1, length), _repeated_token(loaded), device=loaded.device)
    given = {"input_ids": ids}
    if state_kinds(loaded.model.config):
        # Such layers mix tokens too: each is read as a text of its own, at another position.
        positions = torch.arange(length, device=ids.device)[:, None]
        given, watch = {"input_ids": ids.T, "position_ids": positions}, _EachApart()
    with torch.inference_mode(), recording(watch):
        loaded.body(**given, use_cache=False)
    if watch.biased:
        raise ValueError(
            f"{loaded.name} places its tokens by a bias on the logits of each key (ALiBi), not by "
            "rotation (RoPE), so keys and queries cannot be turned to other places: choose a model "
            "with rotary positions, such as a Llama"
        )
    found = {
        layer: _found(loaded, candidates, keys)
        for layer, keys in zip(watch.order, watch.keys, strict=True)
    }
    return tuple(map(found.get, range(len(loaded.layers))))


class _EachApart(ValuesThrough):
    """Keeps the keys of texts of one token each as if they were one text."""

    def attend(self, call: AttentionCall) -> Tensor:
        out = super().attend(call)
        self.keys[-1] = call.k[:, :, 0].transpose(0, 1)
        return out


def _repeated_token(loaded: LoadedModel) -> int:
    """Return the BOS token, of the configuration where there is no tokenizer; else token 0."""
    known = loaded.model.config if loaded.tokenizer is None else loaded.tokenizer
    bos = known.bos_token_id
    return int(bos[0] if isinstance(bos, list) else bos or 0)


def _candidates(loaded: LoadedModel) -> Iterator[Rotary]:
    for module in loaded.model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            frequencies = name.endswith("inv_freq") and "original" not in name and buffer.dim() == 1
            table = name == "embed_positions" and buffer.dim() == 2 and len(buffer) > 1
            if frequencies or table:
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
        fits = 2 * len(candidate.frequencies) <= keys.shape[-1]
        if fits and constant(candidate.turned(keys, back)):
            return candidate
    if candidates:
        raise ValueError(
            f"the keys of {loaded.name} are turned by their position (RoPE) only in part, or are "
            "changed after it, so they cannot be turned to other places: choose another model, "
            "such as a Llama"
        )
    raise ValueError(
        f"{loaded.name} does not place its tokens by rotation (RoPE), so keys and queries "
        "cannot be turned to other places: choose a model with rotary positions, such as a Llama"
    )
