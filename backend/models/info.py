"""What a model's files say before it is loaded, without torch."""

import json
import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from tokenarium.backend.models.hub_cache import weight_files

FolderState = tuple[tuple[str, int, int], ...]
State = Literal["cold", "fetching", "loading", "ready", "refused"]

# Configuration files name the same thing differently; the first name found counts.
_SHAPE_NAMES = {
    "context": ("max_position_embeddings", "n_positions"),
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "kv_heads": ("num_key_value_heads", "num_attention_heads", "n_head"),
}


@dataclass(frozen=True)
class ModelInfo:
    """A model as offered; a number is None while nothing on this machine says it."""

    name: str
    title: str
    state: State
    parameters: int | None
    """As stored in the weights; shared ones count once."""
    context: int | None
    """Most tokens the model can read at once."""
    layers: int | None
    heads: int | None
    """Query heads of a layer."""
    kv_heads: int | None
    """Key-value heads of a layer."""
    detail: str = ""
    """Why a model was refused, or how far its fetching is, in words; else empty."""
    weights: str = ""
    """What the weights are, where they are a copy that differs from the original; else empty."""


def folder_state(home: Path) -> FolderState:
    """Return what changes whenever a file of the model does, without reading any."""
    files = ((entry.name, entry.stat()) for entry in os.scandir(home) if entry.is_file())
    return tuple(sorted((name, found.st_size, found.st_mtime_ns) for name, found in files))


def shape_of(home: Path) -> dict[str, int]:
    """Return context, layers, heads and kv_heads as far as the configuration says."""
    try:
        config: dict[str, Any] = json.loads((home / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # loading it will say what is wrong
    config |= config.get("text_config") or {}
    found = {
        what: next((config[name] for name in names if config.get(name)), None)
        for what, names in _SHAPE_NAMES.items()
    }
    return {what: value for what, value in found.items() if isinstance(value, int)}


def count_parameters(home: Path) -> int | None:
    """Return how many numbers the weights hold, read from their headers alone."""
    total = 0
    try:
        for file in weight_files(home):
            with safe_open(file, framework="numpy") as stored:
                total += sum(prod(stored.get_slice(name).get_shape()) for name in stored.keys())  # noqa: SIM118
    except (OSError, ValueError, KeyError, SafetensorError):
        return None  # loading it will say what is wrong
    return total or None
