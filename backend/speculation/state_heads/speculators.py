"""Heads in the ``speculators`` format: where they lie, whose they are, and what is refused.

A folder has ``config.json`` (``speculators_model_type``, ``transformer_layer_config`` of its own
layers, ``speculators_config.verifier`` for the target) and ``model.safetensors``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, PretrainedConfig

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation import head_folders
from tokenarium.backend.speculation.vocabulary import logits_width

LAYERS = ("llama", "qwen3")
"""Model types of a head's layers that are read."""
ROTARY = ("default", "linear", "llama3", "yarn")
"""Rotary positions that do not depend on how long the text has become."""


@dataclass(frozen=True)
class Files:
    """A head's files, read and found to be for a target."""

    name: str
    config: dict[str, Any]
    layer: PretrainedConfig
    """Of the head's own layers."""
    weights: dict[str, Tensor]
    """In the target's format, on its device."""
    vocabulary: Tensor | None
    """[N] the target's ids that it guesses among; None for all."""


def find_files(loaded: LoadedModel, kind: str) -> Files:
    """Return the files of a model's head of a kind, such as ``eagle3``.

    Raises:
        ValueError: if there is none for the model, or it has what is not read here.
    """
    return _read(loaded, fitting_folder(loaded, kind))


def fitting_folder(loaded: LoadedModel, kind: str) -> Path:
    """Return the folder of a model's head of a kind.

    Raises:
        ValueError: if there is none, saying why those that lie there do not fit.
    """
    refused = []
    for folder in folders():
        config = json.loads((folder / "config.json").read_text("utf-8"))
        if config.get("speculators_model_type") != kind:
            continue
        reason = _not_for(loaded, config)
        if reason is None:
            return folder
        refused.append(f"{folder.name} {reason}")
    found = f" What lies there does not fit: {'; '.join(refused)}." if refused else ""
    raise ValueError(
        f"no head of kind {kind} is at hand for model={loaded.name!r}: put a folder in the "
        "speculators format (config.json, model.safetensors), trained for this model, into "
        f"draft_heads of Tokenarium's cache folder, or choose another drafter.{found}"
    )


def folders() -> Iterator[Path]:
    """Yield folders that say that they are a head of the format."""
    place = head_folders.own_folder()
    if not place.is_dir():
        return
    for folder in sorted(place.iterdir()):
        config = folder / "config.json"
        if config.is_file() and '"speculators_model_type"' in config.read_text("utf-8"):
            yield folder


def _not_for(loaded: LoadedModel, config: dict[str, Any]) -> str | None:
    """Return why a head is not for a model; None where it is."""
    verifier = (config.get("speculators_config") or {}).get("verifier") or {}
    target = str(verifier.get("name_or_path") or "")
    if target and _short(target) != _short(loaded.name):
        return f"is for {target}"
    model: Any = loaded.model
    width = model.get_input_embeddings().weight.shape[1]
    layer = config.get("transformer_layer_config") or {}
    sizes = int(layer.get("hidden_size", 0)), int(layer.get("vocab_size", 0))
    own = config.get("target_hidden_size") or sizes[0]
    if (sizes[0], own) != (width, width):
        return f"has hidden size {sizes[0]} over the target's {own}, and the model has {width}"
    if sizes[1] != logits_width(loaded):
        return f"has {sizes[1]:,} tokens, and the model has {logits_width(loaded):,}"
    return None


def _short(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].lower()


def _read(loaded: LoadedModel, folder: Path) -> Files:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    layer = _layer_config(folder.name, config["transformer_layer_config"])
    file = folder / "model.safetensors"
    if not file.is_file():
        raise ValueError(
            f"head {folder.name} has no model.safetensors: store its weights in one file of that "
            "name"
        )
    raw = load_file(file)
    offsets = raw.pop("d2t", None)
    raw.pop("t2d", None)
    weights = {
        name: each.to(loaded.device, loaded.dtype if each.is_floating_point() else each.dtype)
        for name, each in raw.items()
    }
    if broken := [name for name, each in weights.items() if not bool(torch.isfinite(each).all())]:
        raise ValueError(f"head {folder.name} has weights that are no numbers: {broken[0]}")
    many = int(config.get("draft_vocab_size") or layer.vocab_size)
    vocabulary = None
    if many != layer.vocab_size:
        if offsets is None or len(offsets) != many:
            raise ValueError(
                f"head {folder.name} guesses among {many:,} of {layer.vocab_size:,} tokens and "
                f"has no d2t of {many:,} entries to say which: store it with the weights"
            )
        # An entry says how far the target's id is from the head's own.
        vocabulary = (torch.arange(many) + offsets.long().cpu()).to(loaded.device)
        if bool((vocabulary < 0).any()) or int(vocabulary.max()) >= layer.vocab_size:
            raise ValueError(f"head {folder.name} has a d2t beyond the {layer.vocab_size:,} tokens")
    return Files(folder.name, config, layer, weights, vocabulary)


def _layer_config(name: str, found: dict[str, Any]) -> PretrainedConfig:
    kind = found.get("model_type")
    if kind not in LAYERS:
        raise ValueError(
            f"head {name} has layers of model_type={kind!r}, which are not read here: allowed are "
            f"{' and '.join(LAYERS)}"
        )
    config: Any = AutoConfig.for_model(**found)
    rope = config.rope_parameters or {}
    checks = {
        "attention_bias": bool(config.attention_bias),
        "mlp_bias": bool(getattr(config, "mlp_bias", False)),
        f"hidden_act={config.hidden_act!r}": config.hidden_act != "silu",
        "sliding windows": "sliding_attention" in (getattr(config, "layer_types", None) or ()),
        f"rope_type={rope.get('rope_type')!r}": rope.get("rope_type", "default") not in ROTARY,
    }
    if wrong := [what for what, there in checks.items() if there]:
        raise ValueError(
            f"head {name} has {', '.join(wrong)}, which is not read here: choose a head of plain "
            f"{' or '.join(LAYERS)} layers"
        )
    plain: PretrainedConfig = config
    return plain
