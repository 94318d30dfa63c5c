"""Where Hugging Face keeps what it has downloaded, found without importing any of its packages."""

import os
from pathlib import Path

from tokenarium.backend.models.files import weight_files
from tokenarium.backend.models.refusal import ModelRefused


def snapshot(hub_id: str) -> Path | None:
    """Return the downloaded snapshot of a model's main revision, or None if it is incomplete.

    Honours HF_HUB_CACHE, HF_HOME and XDG_CACHE_HOME, in that order.

    Args:
        hub_id: ``org/name``.
    """
    repository = _hub_folder() / f"models--{hub_id.replace('/', '--')}"
    reference = repository / "refs" / "main"
    if not reference.is_file():
        return None
    folder = repository / "snapshots" / reference.read_text(encoding="utf-8").strip()
    tokenizer = any(folder.glob("tokenizer*"))
    try:
        weights = weight_files(folder)
    except ModelRefused:  # a damaged index is downloaded again
        return None
    whole = bool(weights) and all(file.is_file() for file in weights)
    return folder if whole and tokenizer and (folder / "config.json").is_file() else None


def content_name(file: Path) -> str | None:
    """Return the SHA-256 a downloaded weights file is stored under; None for other files."""
    blob = file.resolve()
    named = blob.parent.name == "blobs" and len(blob.name) == 64
    return blob.name if named and file.is_symlink() else None


def _hub_folder() -> Path:
    if folder := os.environ.get("HF_HUB_CACHE"):
        return Path(folder).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(cache).expanduser() / "huggingface" / "hub"
