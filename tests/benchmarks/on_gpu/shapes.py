"""The models that are measured on a GPU: random weights in the shapes of known ones."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from transformers.utils import logging

from tests.benchmarks.models import SHAPES, Models, read, save
from tests.benchmarks.on_gpu.section import Bench
from tokenarium.backend.models.loaded import LoadedModel

SMALL, LARGE = "smollm2-135m", "llama-1b"
TINY = "llama-19m"
"""Stands for both where a CPU tries the command."""


@dataclass(frozen=True)
class Shape:
    """Sizes of one attention layer of a model."""

    name: str
    heads: int
    groups: int
    size: int
    vocabulary: int


def shapes(quick: bool) -> list[Shape]:
    """Return the sizes of the models that are measured."""
    return [_shape(name) for name in ((TINY,) if quick else (SMALL, LARGE))]


def shape_of(bench: Bench) -> Shape:
    """Return the sizes of the model that this process measures."""
    return shapes(bench.quick)[-1 if bench.large else 0]


def _shape(name: str) -> Shape:
    sizes = SHAPES[name]
    heads = sizes["num_attention_heads"]
    size = sizes["hidden_size"] // heads
    return Shape(name, heads, sizes["num_key_value_heads"], size, sizes["vocab_size"])


def models(bench: Bench) -> Models:
    """Return the model that this process measures, with its twins; made once."""
    logging.disable_progress_bar()
    name = shape_of(bench).name
    return _read(name, folder(bench), dtype(bench), bench.device)


_read = lru_cache(maxsize=1)(read)


def folder(bench: Bench) -> Path:
    """Return where the model lies that this process measures; it is made where it was not yet."""
    name = shape_of(bench).name
    place = bench.models / name
    if not (place / "tokenizer.json").exists():
        place.mkdir(exist_ok=True)
        save(name, dtype(bench), place, bench.device)
    return place


def dtype(bench: Bench) -> str:
    """Return the number format: the one that GPUs are made for, or the one that CPUs are."""
    return "bfloat16" if bench.device == "cuda" else "float32"


def text_of(loaded: LoadedModel, tokens: int) -> str:
    """Return a text of so many tokens for the tokenizer of random models."""
    begins = len(loaded.tokenizer("")["input_ids"])
    return "".join(chr(65 + number * 7 % 26) for number in range(tokens - begins))
