"""Which model a name means, and what identifies its content.

A run found in the store needs only this module, so it imports neither torch nor transformers.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tokenarium.backend.models.hub_cache import INDEX, WEIGHTS, content_name, snapshot
from tokenarium.backend.settings import PROJECT, Settings

BUNDLED = {"bundled/target": "Bundled target", "bundled/draft": "Bundled draft"}
BUNDLED_FOLDER = PROJECT / "assets" / "models"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_IDENTITY = (
    "config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    INDEX,
)


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files are: in a folder, or on Hugging Face under an id."""

    name: str
    folder: Path | None
    hub_id: str | None
    title: str
    """As shown in the model picker."""


class DigestMemo(Protocol):
    """Remembers the SHA-256 of files, so that a large model is hashed once."""

    def digest(self, path: str, size: int, mtime_ns: int) -> str | None:
        """Return what was remembered for exactly this file, or None."""

    def remember_digest(self, path: str, size: int, mtime_ns: int, digest: str) -> None:
        """Remember the SHA-256 of this file."""


def resolve(name: str, settings: Settings) -> ModelSource:
    """Return the model that a name means.

    Args:
        name: bundled/target, bundled/draft, local/NAME, a folder, or org/name on Hugging Face.
        settings: models folder, and in hosted mode the allow-list.
    Raises: ValueError where the name is not allowed or means nothing.
    """
    if settings.hosted and name not in (*BUNDLED, *settings.hosted_models):
        raise ValueError(
            f"model={name!r} is not offered here: choose one of "
            f"{', '.join((*BUNDLED, *settings.hosted_models))}, or run the app on your own machine"
        )
    if name.startswith("bundled/"):
        return _bundled(name)
    if name.startswith("local/"):
        return _local(name, settings.models_dir)
    if name.startswith("~"):
        raise ValueError(f"model={name!r} begins with ~: give the folder's full path")
    if Path(name).is_absolute() or name.startswith(".") or (Path(name) / "config.json").is_file():
        path = Path(name).resolve()
        return ModelSource(name, _with_config(name, path), None, path.name)
    if not _HUB_ID.fullmatch(name) or ".." in name or "--" in name:
        raise ValueError(
            f"model={name!r} is no model name: use bundled/target, bundled/draft, local/NAME, a "
            "folder, or a Hugging Face id such as openai-community/gpt2"
        )
    return ModelSource(name, None, name, name)


def available(settings: Settings) -> list[ModelSource]:
    """Return the models to offer in a list: bundled, local, and in hosted mode the allow-list."""
    names = list(BUNDLED)
    if settings.hosted:
        names += settings.hosted_models
    elif settings.models_dir and settings.models_dir.is_dir():
        names += sorted(f"local/{entry.name}" for entry in settings.models_dir.iterdir())
    found = []
    for name in names:
        try:
            found.append(resolve(name, settings))
        except ValueError:
            continue
    return found


def folder(source: ModelSource) -> Path | None:
    """Return where the model's files are on this machine; None if they are not downloaded yet."""
    return source.folder or snapshot(source.hub_id or "")


def fingerprint(source: ModelSource, digest_memo: DigestMemo | None = None) -> str | None:
    """Return the SHA-256 over names and contents of configuration, tokenizer and weights.

    Args:
        source: the model.
        digest_memo: spares hashing files that have not changed.
    Returns: hexadecimal digest; None for a Hugging Face model that is not downloaded yet.
    """
    home = folder(source)
    if home is None:
        return None
    files = [home / name for name in _IDENTITY] + sorted(home.glob(WEIGHTS))
    whole = hashlib.sha256()
    for file in files:
        if file.is_file():
            whole.update(f"{file.name}\0{_file_digest(file, digest_memo)}\n".encode())
    return whole.hexdigest()


def _bundled(name: str) -> ModelSource:
    if name not in BUNDLED:
        raise ValueError(f"model={name!r} does not exist: bundled are {' and '.join(BUNDLED)}")
    path = BUNDLED_FOLDER / name.removeprefix("bundled/")
    return ModelSource(name, _with_config(name, path), None, BUNDLED[name])


def _local(name: str, models_dir: Path | None) -> ModelSource:
    if models_dir is None:
        raise ValueError(f"model={name!r}, but no models folder is set: start with --models-dir")
    entry = name.removeprefix("local/")
    if not entry or entry.startswith(".") or "/" in entry or "\\" in entry or "\0" in entry:
        raise ValueError(f"model={name!r}: NAME in local/NAME is one folder name, without a path")
    root = models_dir.expanduser().resolve()
    path = (root / entry).resolve()
    if path.parent != root:
        raise ValueError(
            f"model={name!r} leads out of the models folder: put the folder itself there, not a "
            "link to it"
        )
    return ModelSource(name, _with_config(name, path), None, entry)


def _with_config(name: str, path: Path) -> Path:
    if not (path / "config.json").is_file():
        raise ValueError(
            f"model={name!r} is no folder with a config.json: check the spelling, or save the "
            "model there with save_pretrained"
        )
    return path


def _file_digest(file: Path, memo: DigestMemo | None) -> str:
    if stored_under := content_name(file):
        return stored_under
    state = file.stat()
    known = memo.digest(str(file), state.st_size, state.st_mtime_ns) if memo else None
    if known is not None:
        return known
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if memo:
        memo.remember_digest(str(file), state.st_size, state.st_mtime_ns, digest)
    return digest
