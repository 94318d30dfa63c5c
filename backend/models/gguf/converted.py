"""Converted GGUF files in the user's cache folder, each whole or absent; neither torch nor GGUF."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenarium.backend.models.files import sha256_of
from tokenarium.backend.models.refusal import ModelRefused

CONVERTER = 1
"""Raised whenever the conversion of the same file gives other weights, tokens or settings."""
MARKER = "gguf.json"
"""Written last: what was converted, and the size of every file beside it."""
_PART = ".part"


@dataclass(frozen=True)
class GgufSource:
    """A GGUF file, and where its conversion is kept."""

    cache: Path
    """The user's cache folder."""
    file: Path | None = None
    """Where it is; None for one that is fetched, and not kept once it is converted."""
    digest: str | None = None
    """Its SHA-256, where that is known beforehand."""

    def known_digest(self) -> str | None:
        """Return the SHA-256 of the file, or None if it was never read, or has changed since."""
        if self.digest:
            return self.digest
        try:
            found = _pointer(self).read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return found if len(found) == 64 else None

    def folder(self) -> Path | None:
        """Return the folder of the conversion; None while there is none."""
        digest = self.known_digest()
        if digest is None:
            return None
        folder = folder_of(self.cache, digest)
        return folder if _is_whole(folder) else None

    def weights(self) -> str:
        """Return in words what the weights are, or nothing before they are converted."""
        folder = self.folder()
        return str(_marker(folder).get("weights", "")) if folder else ""


def folder_of(cache: Path, digest: str) -> Path:
    """Return where the conversion of the file with this SHA-256 is, or will be."""
    return cache / "gguf" / f"{digest[:24]}-{CONVERTER}"


def identity(digest: str) -> str:
    """Return the fingerprint of a converted file.

    It is that of the GGUF file and of this converter, so that another version of transformers,
    which writes the same configuration differently, leaves stored runs where they are.

    Args:
        digest: SHA-256 of the file.
    """
    return hashlib.sha256(f"gguf {digest} converter {CONVERTER}".encode()).hexdigest()


def digest_of(source: GgufSource) -> str:
    """Return the SHA-256 of a file, read once for as long as it does not change."""
    if known := source.known_digest():
        return known
    assert source.file is not None
    digest = sha256_of(source.file)
    pointer = _pointer(source)
    pointer.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=pointer.parent, delete=False) as written:
        written.write(digest)
    Path(written.name).replace(pointer)
    return digest


@contextmanager
def written_whole(cache: Path, digest: str, **about: Any) -> Iterator[Path]:
    """Lend a folder to write a conversion into; it takes its place once all is written.

    What an earlier process left half-written is removed first, so the caller holds ``lock``.

    Args:
        cache: the user's cache folder.
        digest: SHA-256 of the file.
        about: what to say of it beside, such as ``weights``.
    """
    final = folder_of(cache, digest)
    final.parent.mkdir(parents=True, exist_ok=True)
    for old in final.parent.glob(f"{final.name}.*{_PART}"):
        shutil.rmtree(old, ignore_errors=True)
    part = Path(tempfile.mkdtemp(dir=final.parent, prefix=f"{final.name}.", suffix=_PART))
    try:
        yield part
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(part)}
        told = {"sha256": digest, "converter": CONVERTER, "sizes": sizes, **about}
        (part / MARKER).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        part.chmod(0o755)
        shutil.rmtree(final, ignore_errors=True)  # one that is not whole any more
        part.rename(final)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def refuse_unless_room(cache: Path, wanted: int, name: str) -> None:
    """Refuse what the disk of the cache folder has no room for.

    Args:
        cache: the user's cache folder.
        wanted: bytes to write.
        name: of the model.
    """
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if free < wanted:
        raise ModelRefused(
            f"{name} takes {wanted / 1e6:,.0f} MB on disk once it is converted, and {cache} has "
            f"{free / 1e6:,.0f} MB left: make room, or choose another folder with --cache-dir"
        )


def _is_whole(folder: Path) -> bool:
    sizes = _marker(folder).get("sizes")
    if not isinstance(sizes, dict) or "model.safetensors" not in sizes:
        return False
    try:
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except OSError:
        return False


def _marker(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _pointer(source: GgufSource) -> Path:
    """Return the file that keeps the SHA-256 of a file of this place, size and time."""
    assert source.file is not None
    state = source.file.stat()
    place = f"{source.file.resolve()}\0{state.st_size}\0{state.st_mtime_ns}"
    return source.cache / "gguf" / "digests" / hashlib.sha256(place.encode()).hexdigest()
