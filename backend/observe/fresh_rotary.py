"""Rotary positions that turn otherwise in longer texts, and that must not remember longer ones."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle


@dataclass(frozen=True)
class RotarySwitch:
    """From which length on a model's rotary positions turn otherwise.

    ``longrope`` (Ding et al., 2024, arXiv:2402.13753) has one set of frequencies up to ``tokens``
    and another above; ``dynamic`` (NTK-aware scaling) has others at every length above.
    """

    rope_type: str
    tokens: int
    """Most tokens that the first frequencies serve."""

    def crossed(self, first: int, last: int) -> bool:
        """Return whether passes that end with ``first`` to ``last`` tokens turn differently."""
        if "dynamic" in self.rope_type:
            return last > max(first, self.tokens)
        return first <= self.tokens < last


def rotary_switch(model: nn.Module) -> RotarySwitch | None:
    """Return the earliest length at which a model's rotary positions change; None without one."""
    found = [
        RotarySwitch(kind, _length(module, layer, kind))
        for module in model.modules()
        for layer, kind in rotary_types(module)
        if changes_with_length(kind)
    ]
    return min(found, key=lambda switch: switch.tokens, default=None)


def changes_with_length(rope_type: str) -> bool:
    """Return whether rotary positions of this type turn otherwise in longer texts."""
    return "dynamic" in rope_type or rope_type == "longrope"


def keep_fresh(model: nn.Module) -> list[RemovableHandle]:
    """Let every pass turn by its own length alone, whatever was read before.

    transformers keeps the frequencies of the longest text for a shorter one that follows, until
    one comes that is shorter than the context.
    """
    handles = []
    for module in model.modules():
        layers = [layer for layer, kind in rotary_types(module) if "dynamic" in kind]
        if layers:
            handles.append(module.register_forward_pre_hook(_forget(layers)))
    return handles


def _forget(layers: list[str]) -> Any:
    def hook(module: Any, *_: Any) -> None:
        for layer in layers:
            prefix = f"{layer}_" if layer else ""
            setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)
            inv_freq = getattr(module, f"{prefix}inv_freq")
            original = getattr(module, f"{prefix}original_inv_freq").to(inv_freq.device)
            module.register_buffer(f"{prefix}inv_freq", original, persistent=False)

    return hook


def rotary_types(module: nn.Module) -> list[tuple[str, str]]:
    """Return (layer type, rotary type) of a module that makes rotary positions; "" for all."""
    kinds = getattr(module, "rope_type", None)
    if isinstance(kinds, dict):
        return [(layer, kind) for layer, kind in kinds.items() if isinstance(kind, str)]
    return [("", kinds)] if isinstance(kinds, str) else []


def _length(module: Any, layer: str, kind: str) -> int:
    if "dynamic" in kind:
        return int(module.original_max_seq_len)
    parameters = module.config.rope_parameters
    return int((parameters[layer] if layer else parameters)["original_max_position_embeddings"])
