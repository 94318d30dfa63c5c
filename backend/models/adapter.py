"""A LoRA adapter, merged into the weights of its base as they are loaded.

Paper: Hu et al., 2021, arXiv:2106.09685; rank-stabilised scale: Kalajdzievski, 2023,
arXiv:2312.03732. The files are those of PEFT; its package is not needed.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tokenarium.backend.models.adapter_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from tokenarium.backend.models.files import count_stored, read_object
from tokenarium.backend.models.refusal import ModelRefused, refusing

_PREFIX = "base_model.model."
_PART = re.compile(r"^(?P<module>.+)\.lora_(?P<part>embedding_A|embedding_B|A|B)(\.\w+)?$")
_WRAPPED = re.compile(r"\.(base_layer|modules_to_save(\.default)?)\.")
_OTHERWISE = (
    *("use_dora", "lora_bias", "layer_replication", "target_parameters", "use_qalora"),
    *("alora_invocation_tokens", "trainable_token_indices", "arrow_config", "lora_ga_config"),
)
"""Fields that make an adapter something else than an addition of B A to a weight."""
_BASE_CHANGED = ("pissa", "olora", "loftq", "corda", "lora_ga")
"""Starts that take something from the base itself."""


@dataclass(frozen=True)
class _Lora:
    rank: int
    alpha: float
    ranks: dict[str, int]
    alphas: dict[str, float]
    stabilised: bool

    def scale(self, module: str, rank: int, name: str) -> float:
        """Return what B A of a module is multiplied with; its rank must be the one agreed on."""
        wanted = self.ranks.get(_matching(self.ranks, module), self.rank)
        if rank != wanted:
            raise ModelRefused(
                f"{name} is damaged: its weights of {module} have rank {rank}, and its "
                f"{ADAPTER_CONFIG} says r={wanted}: download it again"
            )
        alpha = self.alphas.get(_matching(self.alphas, module), self.alpha)
        return alpha / (rank**0.5 if self.stabilised else rank)


def merge(model: PreTrainedModel, adapter: Path, name: str) -> str:
    """Add an adapter to the weights of its base, and return in words what was done.

    Each adapted weight W [out, in] becomes W + scale B A, with B [out, r], A [r, in] and scale
    alpha / r, or alpha / sqrt(r) where it is rank-stabilised. Modules that were trained whole
    take the place of the base's.

    Args:
        model: the base, with plain weights.
        adapter: the folder of the adapter.
        name: of the adapter.
    Raises:
        ModelRefused: if it is another kind of adapter, or does not fit the base.
    """
    settings = _settings(read_object(adapter / ADAPTER_CONFIG), name)
    count_stored(adapter / ADAPTER_WEIGHTS)
    with refusing(f"the adapter {name} could not be read", "download it again"):
        tensors = load_file(adapter / ADAPTER_WEIGHTS)
    pairs: dict[str, dict[str, Tensor]] = {}
    whole: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        path = key.removeprefix(_PREFIX).removesuffix(".weight")
        if found := _PART.match(path):
            pairs.setdefault(found["module"], {})[found["part"]] = tensor.float()
        else:
            whole[_WRAPPED.sub(".", key.removeprefix(_PREFIX))] = tensor
    with torch.no_grad():
        for path, tensor in whole.items():
            _replace(model, path, tensor, name)
        for module, parts in pairs.items():
            _add(model, module, parts, settings, name)
    return (
        f"a LoRA adapter of rank {settings.rank} is merged into {len(pairs)} weights of the base"
        + (f", and {len(whole)} tensors of it take the place of the base's" if whole else "")
    )


def _settings(given: dict[str, Any], name: str) -> _Lora:
    kind = given.get("peft_type")
    if kind != "LORA":
        raise _other(name, f"peft_type={kind!r:.40}")
    for field in _OTHERWISE:
        if given.get(field):
            raise _other(name, f"{field}={given[field]!r:.40}")
    for field in ("rank_pattern", "alpha_pattern"):
        named = given.get(field) or {}
        if odd := [key for key in named if not re.fullmatch(r"[\w.]+", str(key))]:
            raise _other(name, f"a pattern in {field}, {odd[0]!r:.40}")
    start = given.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_BASE_CHANGED):
        raise _other(name, f"init_lora_weights={start!r:.40}")
    with refusing(f"{name} has a damaged {ADAPTER_CONFIG}", "download it again"):
        return _Lora(
            rank=int(given["r"]),
            alpha=float(given["lora_alpha"]),
            ranks={
                str(key): int(value) for key, value in (given.get("rank_pattern") or {}).items()
            },
            alphas={
                str(key): float(value) for key, value in (given.get("alpha_pattern") or {}).items()
            },
            stabilised=bool(given.get("use_rslora")),
        )


def _other(name: str, what: str) -> ModelRefused:
    return ModelRefused(
        f"{name} is an adapter with {what}, which is not merged here: merge it with PEFT's "
        "merge_and_unload and save the result"
    )


def _matching(patterns: dict[str, Any], module: str) -> str:
    """Return the pattern that ends a module's path, or ""."""
    return next((key for key in patterns if f".{module}".endswith(f".{key}")), "")


def _add(
    model: PreTrainedModel, module: str, parts: dict[str, Tensor], lora: _Lora, name: str
) -> None:
    weight = _weight(model, f"{module}.weight", name)
    embedding = "embedding_A" in parts
    first, second = ("embedding_A", "embedding_B") if embedding else ("A", "B")
    if set(parts) != {first, second}:
        raise _misfit(name, f"{module} has only {', '.join(sorted(parts))} of an A and a B")
    a, b = parts[first], parts[second]
    if a.dim() != 2 or b.dim() != 2 or b.shape[1] != a.shape[0]:
        raise _misfit(name, f"{module} has A {list(a.shape)} and B {list(b.shape)}")
    change = b @ a * lora.scale(module, a.shape[0], name)
    if embedding or isinstance(model.get_submodule(module), Conv1D):  # whose weight is [in, out]
        change = change.T
    if change.shape != weight.shape:
        raise _misfit(name, f"{module} would change {list(change.shape)} of {list(weight.shape)}")
    weight += change.to(weight)


def _replace(model: PreTrainedModel, path: str, tensor: Tensor, name: str) -> None:
    weight = _weight(model, path, name)
    if tensor.shape != weight.shape:
        raise _misfit(name, f"{path} has shape {list(tensor.shape)}, not {list(weight.shape)}")
    weight.copy_(tensor.to(weight))


def _weight(model: PreTrainedModel, path: str, name: str) -> Tensor:
    with refusing(
        f"the adapter {name} does not fit its base", "give it the base that it was trained on"
    ):
        weight = model.get_parameter(path)
    named = model.named_parameters(remove_duplicate=False)
    if other := next((key for key, value in named if value is weight and key != path), None):
        raise _misfit(name, f"{path} was trained alone, and its base shares it with {other}")
    return weight


def _misfit(name: str, why: str) -> ModelRefused:
    return ModelRefused(
        f"the adapter {name} does not fit its base, as {why}: give it the base that it was trained "
        "on, or merge it with PEFT's merge_and_unload and save the result"
    )
