"""What a GGUF file says of itself, read with bounds before anything else touches it.

The format: magic, version, counts, metadata as key, type, value, then a table of tensors with
shape, type and offset, then their bytes (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
"""

import mmap
import os
import struct
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from tokenarium.backend.models.refusal import ModelRefused

_VERSIONS = (2, 3)
_ALIGNMENT = 32
_STRING, _ARRAY = 8, 9
_NUMBERS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_MOST_DIMENSIONS = 4
_LONGEST_TEXT = 2**20

# Name, numbers of a block, bytes of a block, by the number that stands in the file.
_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}  # fmt: skip
PLAIN = ("F32", "F16", "BF16")
"""Types that hold numbers, not blocks of quantised ones."""


@dataclass(frozen=True)
class Header:
    """What stands before the weights."""

    architecture: str
    """As llama.cpp names it, such as ``llama``."""
    values: dict[str, Any]
    """Metadata by key: numbers and texts; of a list its length."""
    shapes: dict[str, tuple[int, ...]]
    """Shape of every tensor, fastest-moving axis last."""
    types: dict[str, str]
    """Type of every tensor, such as ``Q4_1``."""

    @property
    def parameters(self) -> int:
        """How many numbers the weights hold."""
        return sum(prod(shape) for shape in self.shapes.values())

    @property
    def quantisation(self) -> str:
        """The type that holds most of the weights, such as ``Q4_1``."""
        counted: Counter[str] = Counter()
        for name, kind in self.types.items():
            counted[kind] += prod(self.shapes[name])
        return counted.most_common(1)[0][0]

    def number(self, name: str) -> int | None:
        """Return a whole number that the file gives for its architecture, such as block_count."""
        found = self.values.get(f"{self.architecture}.{name}")
        return found if isinstance(found, int) else None

    @property
    def shape(self) -> dict[str, int]:
        """Context, layers, heads and kv_heads as far as the file tells them."""
        found = {
            "context": self.number("context_length"),
            "layers": self.number("block_count"),
            "heads": self.number("attention.head_count"),
            "kv_heads": self.number("attention.head_count_kv"),
        }
        return {name: value for name, value in found.items() if value is not None}


def read_header(file: Path) -> Header:
    """Read what stands before the weights, and check that these are there.

    Raises:
        ModelRefused: if the file cannot be read, is none, is damaged, or is cut short.
    """
    try:
        state = file.stat()
        return _read(file, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise ModelRefused(f"{file.name} cannot be read ({error.strerror})") from error


@lru_cache(maxsize=16)
def _read(file: Path, size: int, _mtime_ns: int) -> Header:
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise ModelRefused(f"{file.name} is no GGUF file: its first four bytes are not 'GGUF'")
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Reader(file.name, content, size).header()


class _Reader:
    """Reads one file from front to back; everything that leads past its end is refused."""

    def __init__(self, name: str, content: mmap.mmap, size: int) -> None:
        self._name, self._content, self._size = name, content, size
        self._at = 4

    def header(self) -> Header:
        version = self._one("I")
        if version not in _VERSIONS:
            raise ModelRefused(
                f"{self._name} is GGUF version {version}: versions {_VERSIONS[0]} and "
                f"{_VERSIONS[1]} are read, convert it again with a newer llama.cpp"
            )
        tensors, entries = self._count(24), self._count(13)
        values = {self._text(): self._value(self._one("I")) for _ in range(entries)}
        architecture = values.get("general.architecture")
        if not isinstance(architecture, str) or not architecture:
            raise ModelRefused(
                f"{self._name} does not say its architecture: it is no language model"
            )
        alignment = values.get("general.alignment", _ALIGNMENT)
        if not isinstance(alignment, int) or not 0 < alignment <= 2**16:
            raise self._damaged("its alignment is out of range")
        shapes: dict[str, tuple[int, ...]] = {}
        types, ends = {}, [0]
        for _ in range(tensors):
            name = self._text()
            if name in shapes:
                raise self._damaged(f"it names the tensor {name!r} twice")
            shapes[name], types[name], end = self._tensor(name)
            ends.append(end)
        if not shapes:
            raise ModelRefused(f"{self._name} has no weights: it is a vocabulary alone")
        start = -(-self._at // alignment) * alignment
        if start + max(ends) > self._size:
            missing = start + max(ends) - self._size
            raise ModelRefused(
                f"{self._name} is cut short: {missing:,} bytes of its weights are missing, "
                "download it again"
            )
        return Header(architecture, values, shapes, types)

    def _tensor(self, name: str) -> tuple[tuple[int, ...], str, int]:
        """Return shape, type, and where the tensor ends after the start of all weights."""
        dimensions = self._one("I")
        if not 0 < dimensions <= _MOST_DIMENSIONS:
            raise self._damaged(f"the tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self._one("Q") for _ in range(dimensions))[::-1]
        number, offset = self._one("I"), self._one("Q")
        if number not in _TYPES:
            raise ModelRefused(
                f"{self._name} holds weights of type {number}, which is not read: quantise it to "
                "one of the common types, such as Q4_K or Q8_0"
            )
        kind, block, size = _TYPES[number]
        if not prod(shape) or shape[-1] % block:
            raise self._damaged(
                f"the tensor {name!r} has the shape {shape}, not whole {kind} blocks"
            )
        return shape, kind, offset + prod(shape) // block * size

    def _value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self._one(_NUMBERS[kind])
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            raise self._damaged(f"it holds a value of type {kind}")
        inner = self._one("I")
        if inner in _NUMBERS:
            width = struct.calcsize(f"<{_NUMBERS[inner]}")
            count = self._count(width)
            self._skip(width * count)
            return count
        if inner != _STRING:
            raise self._damaged(f"it holds a list of type {inner}")
        count = self._count(8)
        for _ in range(count):
            self._skip(self._one("Q"))
        return count

    def _text(self) -> str:
        length = self._one("Q")
        if length > _LONGEST_TEXT:
            raise self._damaged(f"it holds a text of {length:,} bytes")
        start = self._at
        self._skip(length)
        try:
            return self._content[start : self._at].decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._damaged("a name in it is no UTF-8") from error

    def _count(self, least: int) -> int:
        """Return how many entries follow, each of at least so many bytes."""
        count: int = self._one("Q")
        if count * least > self._size - self._at:
            raise self._damaged(f"it announces {count:,} entries, more than it has room for")
        return count

    def _one(self, form: str) -> Any:
        start = self._at
        self._skip(struct.calcsize(f"<{form}"))
        return struct.unpack_from(f"<{form}", self._content, start)[0]

    def _skip(self, length: int) -> None:
        if length > self._size - self._at:
            raise ModelRefused(f"{self._name} is cut short or damaged: download it again")
        self._at += length

    def _damaged(self, why: str) -> ModelRefused:
        return ModelRefused(f"{self._name} is damaged, {why}: download it again")


def is_part(file: Path) -> bool:
    """Whether a file is one of several that a model was split into."""
    return bool(file.stem.rpartition("-of-")[1]) and file.stem[-5:].isdigit()


def only_file(folder: Path) -> Path | None:
    """Return the GGUF file of a folder that has exactly one.

    Raises:
        ModelRefused: if it has several, of which one would have to be chosen.
    """
    found = sorted(Path(entry.path) for entry in os.scandir(folder) if entry.name.endswith(".gguf"))
    if len(found) > 1:
        raise ModelRefused(
            f"{folder.name} has {len(found)} GGUF files: give the path of one, such as "
            f"{found[0].name}"
        )
    return found[0] if found else None
