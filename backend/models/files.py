"""Files of a model's folder, which anybody may have written: read within limits, or refused."""

import hashlib
import json
import os
import stat
import struct
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from typing_extensions import TypeIs

from tokenarium.backend.models.refusal import ModelRefused, refusing
from tokenarium.backend.runs.events import current_cancel

WEIGHTS = "model*.safetensors"
INDEX = "model.safetensors.index.json"
LARGEST_JSON = 256 * 2**20
"""Bytes; the largest tokenizer.json in use have 35 MB."""
LARGEST_HEADER = 100_000_000
"""Bytes of a safetensors header, as in the reference implementation of the format."""

_OBJECTS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    INDEX,
)
_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E5M2FNUZ", "F8_E4M3FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
_PIECE = 2**22
"""Bytes that are hashed between two looks at whether the run was cancelled."""
_MOST_AXES = 64  # torch's


def refuse_odd_files(folder: Path) -> None:
    """Refuse a folder with a pipe or device in it, or a JSON file that is no object.

    Opening a pipe waits for somebody to write, and reading a device may never end.

    Raises:
        ModelRefused: naming the folder and the file.
    """
    with refusing(f"{folder.name} cannot be read", "check that the folder is whole and readable"):
        for place in (folder, folder / "additional_chat_templates"):
            for entry in os.scandir(place) if place.is_dir() else ():
                if Path(entry.path).exists() and not entry.is_dir():
                    regular_size(Path(entry.path))
    for name in _OBJECTS:
        if (folder / name).exists():
            read_object(folder / name)


def regular_size(file: Path) -> int:
    """Return the bytes of a regular file.

    Raises:
        ModelRefused: if it is missing, or is a pipe, device, socket or folder.
    """
    with refusing(f"{_named(file)} cannot be read", "check that it is there and readable"):
        found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ModelRefused(
            f"{_named(file)} is no regular file but a pipe, device or folder, which is never "
            "opened: put the file itself there"
        )
    return found.st_size


def read_object(file: Path) -> dict[str, Any]:
    """Return what a JSON file holds.

    Raises:
        ModelRefused: if it is no regular file, is too large, is no JSON, or is not an object.
    """
    size = regular_size(file)
    if size > LARGEST_JSON:
        raise ModelRefused(
            f"{_named(file)} has {size:,} bytes, more than the {LARGEST_JSON:,} that are read: "
            "check what was put there"
        )
    with refusing(f"{_named(file)} is a damaged {file.name}", "download it again"):
        found = json.loads(file.read_bytes())
    if not isinstance(found, dict):
        raise ModelRefused(
            f"{_named(file)} is a damaged {file.name}: it is no JSON object but "
            f"{_shortened(found)}: download it again"
        )
    return found


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Raises:
        Cancelled: as soon as the run that needs it is cancelled.
    """
    digest, buffer, cancel = hashlib.sha256(), memoryview(bytearray(_PIECE)), current_cancel()
    with file.open("rb", buffering=0) as content:
        while size := content.readinto(buffer):
            digest.update(buffer[:size])
            if cancel is not None:
                cancel.check()
    return digest.hexdigest()


def digest_of(file: Path) -> str:
    """Return a file's SHA-256, read once for each state of it."""
    state = file.stat()
    return _digest_in_state(file, (state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=256)
def _digest_in_state(file: Path, _state: tuple[int, int]) -> str:
    return sha256_of(file)


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files a model in this folder consists of, present or not.

    Raises:
        ModelRefused: if the index is damaged, or names a file outside the folder.
    """
    index = folder / INDEX
    if not index.exists():
        single = folder / "model.safetensors"
        return [single] if single.exists() else []
    shards = read_object(index).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise ModelRefused(
            f"{_named(index)} is damaged: weight_map={_shortened(shards)} gives no file name for "
            "each tensor: download it again"
        )
    for name in (names := sorted(set(shards.values()))):
        if not name.isprintable() or ".." in name or not name or set(name) & set("/\\:"):
            raise ModelRefused(
                f"{_named(index)} names the file {_shortened(name)}: a file of weights is named "
                "without folders and stands beside the index"
            )
    return [folder / name for name in names]


def tensor_names(folder: Path) -> list[str]:
    """Return the names of the tensors that a model's safetensors files hold.

    Raises:
        ModelRefused: if a file is damaged.
    """
    headers = (_header(file, regular_size(file))[0] for file in weight_files(folder))
    return [name for header in headers for name in header if name != "__metadata__"]


def count_stored(file: Path) -> int:
    """Return how many numbers a safetensors file holds, once its header is found sound.

    The tensors must lie side by side, from the end of the header to the end of the file.

    Raises:
        ModelRefused: naming what is wrong with the file.
    """
    if not file.exists():
        raise ModelRefused(f"{file.name} in {file.parent.name} is missing: download it again")
    size, at, total = regular_size(file), 0, 0
    header, start = _header(file, size)
    entries = sorted(
        (_entry(file, name, found) for name, found in header.items() if name != "__metadata__"),
        key=lambda entry: entry[1:],
    )
    for name, begin, end, numbers in entries:
        if begin != at:
            raise _damaged(
                file, f"tensor {_shortened(name)} begins at byte {begin} where {at} is due"
            )
        at, total = end, total + numbers
    if start + at != size:
        raise _damaged(file, f"its header describes {start + at:,} bytes, and it has {size:,}")
    return total


def _header(file: Path, size: int) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file, and the byte at which its tensors begin."""
    with refusing(f"{_named(file)} cannot be read", "check that it is readable"):
        content = file.open("rb")
    with content:
        start = content.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= size - 8:
            raise _damaged(file, "it is cut short")
        if length > LARGEST_HEADER:
            raise _damaged(file, f"its header has {length:,} bytes, at most {LARGEST_HEADER:,}")
        try:
            header = json.loads(content.read(length))
        except (ValueError, RecursionError) as error:
            raise _damaged(file, "its header is no JSON") from error
    if not isinstance(header, dict):
        raise _damaged(file, "its header is no object")
    return header, 8 + length


def _entry(file: Path, name: str, found: Any) -> tuple[str, int, int, int]:
    """Return name, first byte, end and count of numbers of one tensor."""
    entry = found if isinstance(found, dict) else {}
    dtype, shape, places = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    bits = _BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None:
        raise _damaged(file, f"tensor {_shortened(name)} has dtype={_shortened(dtype)}")
    if not _are_sizes(shape) or len(shape) > _MOST_AXES:
        raise _damaged(file, f"tensor {_shortened(name)} has shape={_shortened(shape)}")
    if not _are_sizes(places) or len(places) != 2:
        raise _damaged(file, f"tensor {_shortened(name)} has data_offsets={_shortened(places)}")
    numbers = prod(shape)
    if (numbers * bits + 7) // 8 != places[1] - places[0]:
        raise _damaged(
            file,
            f"tensor {_shortened(name)} of shape {_shortened(shape)} and dtype {dtype} has "
            f"{places[1] - places[0]} bytes",
        )
    return name, places[0], places[1], numbers


def _are_sizes(found: Any) -> TypeIs[list[int]]:
    return isinstance(found, list) and all(
        type(number) is int and 0 <= number < 2**63 for number in found
    )


def _damaged(file: Path, why: str) -> ModelRefused:
    return ModelRefused(
        f"{file.name} in {file.parent.name} is no whole safetensors file, as {why}: download it "
        "again (a file of a few hundred bytes is a Git LFS pointer: run git lfs pull)"
    )


def _named(file: Path) -> str:
    return f"{file.name} in {file.parent.name}"


def _shortened(found: object) -> str:
    """Return a value as it may stand in a message: one nested deeply cannot be written out."""
    if isinstance(found, dict | list) and found:
        return f"a {'list' if isinstance(found, list) else 'object'} of {len(found)}"
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:57]}..."
