"""A GGUF file is described by its own words, and refused in words where they do not hold."""

import random
import struct
from pathlib import Path

import gguf
import pytest

from tokenarium.backend.models.gguf.header import _TYPES, only_file, read_header
from tokenarium.backend.models.refusal import ModelRefused


def _changed(file: Path, folder: Path, at: int, what: bytes) -> Path:
    content = bytearray(file.read_bytes())
    content[at : at + len(what)] = what
    changed = folder / "changed.gguf"
    changed.write_bytes(content)
    return changed


def test_header_tells_architecture_shape_and_quantisation(quantised: Path, tiny) -> None:
    header = read_header(quantised)
    assert header.architecture == "llama"
    assert header.shape == {"context": 128, "layers": 2, "heads": 4, "kv_heads": 2}
    assert header.quantisation == "Q4_1"
    assert header.parameters == sum(weights.numel() for weights in tiny.parameters())
    assert header.shapes["blk.1.ffn_down.weight"] == (32, 64)
    assert header.values["tokenizer.ggml.tokens"] == 264


def test_types_have_the_sizes_that_the_format_has() -> None:
    sizes = {int(kind): (kind.name, *size) for kind, size in gguf.GGML_QUANT_SIZES.items()}
    assert {number: sizes[number] for number in _TYPES} == _TYPES


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.001, 0.1, 0.5, 0.99, 0.99999])
def test_a_file_that_is_cut_short_is_refused(quantised: Path, tmp_path: Path, share: float) -> None:
    content = quantised.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelRefused, match=r"cut\.gguf"):
        read_header(cut)


@pytest.mark.parametrize(
    ("at", "what", "words"),
    [
        (0, b"PK\x03\x04", "is no GGUF file"),
        (4, struct.pack("<I", 1), "GGUF version 1: versions 2 and 3 are read"),
        (8, struct.pack("<Q", 2**60), "announces"),
        (16, struct.pack("<Q", 2**40), "announces"),
        (24, struct.pack("<Q", 2**63), "a text of"),
        (24, struct.pack("<Q", 2**19), "cut short"),
    ],
)
def test_counts_beyond_the_file_are_refused(
    quantised: Path, tmp_path: Path, at: int, what: bytes, words: str
) -> None:
    with pytest.raises(ModelRefused, match=words):
        read_header(_changed(quantised, tmp_path, at, what))


def test_any_changed_byte_is_read_or_refused_in_words(quantised: Path, tmp_path: Path) -> None:
    draw = random.Random(0)
    refused = 0
    for number in range(300):
        at, what = draw.randrange(8_000), bytes([draw.randrange(256)])
        changed = _changed(quantised, tmp_path, at, what)
        changed = changed.rename(tmp_path / f"{number}.gguf")  # what was read is remembered
        try:
            read_header(changed)
        except ModelRefused:
            refused += 1
    assert refused > 30


def test_a_folder_means_its_only_file(quantised: Path, tmp_path: Path) -> None:
    assert only_file(tmp_path) is None
    (tmp_path / "one.gguf").write_bytes(b"")
    assert only_file(tmp_path) == tmp_path / "one.gguf"
    (tmp_path / "two.gguf").write_bytes(b"")
    with pytest.raises(ModelRefused, match=r"has 2 GGUF files: give the path of one"):
        only_file(tmp_path)
