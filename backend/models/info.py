"""What a model's files say before it is loaded, without torch."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokenarium.backend.models.files import count_stored, read_object, weight_files
from tokenarium.backend.models.refusal import ModelRefused, refusing

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
    """Return what changes whenever a file of the model does, without reading any.

    Raises:
        ModelRefused: if the folder cannot be read.
    """
    with refusing(f"{home.name} cannot be read", "check that it is readable"):
        files = ((entry.name, entry.stat()) for entry in os.scandir(home) if entry.is_file())
        return tuple(sorted((name, found.st_size, found.st_mtime_ns) for name, found in files))


def shape_of(home: Path) -> dict[str, int]:
    """Return context, layers, heads and kv_heads as far as the configuration says.

    Raises:
        ModelRefused: if the configuration is damaged.
    """
    config = read_object(home / "config.json")
    text = config.get("text_config") or {}
    if not isinstance(text, dict):
        raise ModelRefused(
            f"config.json in {home.name} is damaged: its text_config is a {type(text).__name__} "
            "and no object: download it again"
        )
    config |= text
    found = {
        what: next((config[name] for name in names if config.get(name)), None)
        for what, names in _SHAPE_NAMES.items()
    }
    return {what: value for what, value in found.items() if type(value) is int}


def count_parameters(home: Path) -> int | None:
    """Return how many numbers the weights hold, read from their headers alone.

    Raises:
        ModelRefused: if a file of weights is missing or damaged.
    """
    return sum(count_stored(file) for file in weight_files(home)) or None
