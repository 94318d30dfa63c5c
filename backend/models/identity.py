"""What identifies the content of a model: a digest over its files.

A run found in the store needs this module, so it imports neither torch nor transformers.
"""

import hashlib
from pathlib import Path
from typing import Protocol

from tokenarium.backend.models.adapter_files import adapter_files
from tokenarium.backend.models.files import INDEX, WEIGHTS, sha256_of
from tokenarium.backend.models.gguf.converted import identity
from tokenarium.backend.models.hub_cache import content_name
from tokenarium.backend.models.names import ModelSource, folder
from tokenarium.backend.models.refusal import refusing

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


class DigestMemo(Protocol):
    """Remembers the SHA-256 of files, so that a large model is hashed once."""

    def digest(self, path: str, size: int, mtime_ns: int) -> str | None:
        """Return what was remembered for exactly this file, or None."""

    def remember_digest(self, path: str, size: int, mtime_ns: int, digest: str) -> None:
        """Remember the SHA-256 of this file."""


def fingerprint(source: ModelSource, digest_memo: DigestMemo | None = None) -> str | None:
    """Return the SHA-256 over names and contents of configuration, tokenizer and weights.

    Of a GGUF file it is that of the file and of the converter alone.

    Args:
        source: the model.
        digest_memo: spares hashing files that have not changed.
    Returns: hexadecimal digest; None for a model that is not downloaded or converted yet.
    """
    home = folder(source)
    if home is None:
        return None
    if source.gguf:
        digest = source.gguf.known_digest()
        return identity(digest) if digest else None
    whole = hashlib.sha256()
    with refusing(f"{home.name} cannot be read", "check that its files are readable"):
        for file in _identity_files(home, source.adapter):
            whole.update(f"{file.name}\0{_file_digest(file, digest_memo)}\n".encode())
    return whole.hexdigest()


def bytes_to_hash(source: ModelSource, digest_memo: DigestMemo | None = None) -> int:
    """Return how many bytes ``fingerprint`` would read of files whose digest is not known."""
    home = folder(source)
    if home is None or source.gguf:
        return 0
    with refusing(f"{home.name} cannot be read", "check that its files are readable"):
        files = [
            file
            for file in _identity_files(home, source.adapter)
            if _known_digest(file, digest_memo) is None
        ]
        return sum(file.stat().st_size for file in files)


def _identity_files(home: Path, adapter: Path | None) -> list[Path]:
    files = [home / name for name in _IDENTITY] + sorted(home.glob(WEIGHTS))
    files += adapter_files(adapter)
    return [file for file in files if file.is_file()]


def _file_digest(file: Path, memo: DigestMemo | None) -> str:
    known = _known_digest(file, memo)
    if known is not None:
        return known
    state, digest = file.stat(), sha256_of(file)
    if memo:
        memo.remember_digest(str(file), state.st_size, state.st_mtime_ns, digest)
    return digest


def _known_digest(file: Path, memo: DigestMemo | None) -> str | None:
    if stored_under := content_name(file):
        return stored_under
    state = file.stat()
    return memo.digest(str(file), state.st_size, state.st_mtime_ns) if memo else None
