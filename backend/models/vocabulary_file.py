"""A vocabulary in ``tokenizer.model`` alone: read where what reads it is there, and compared."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from tokenarium.backend.models.refusal import ModelRefused

FILE = "tokenizer.model"
_PROTOBUF = b"\n"
"""The first byte of a SentencePiece file; one of tiktoken begins with base64."""
_TEXTS = (
    "Hello, world! It's 12,345.6 - isn't it?",
    "two spaces  inside, one last ",
    "lines\nand\ttabs",
    "naïve café, 漢字かな, привет, 🙂",
    "def f(x):\n    return x ** 2",
)


def is_alone(folder: Path) -> bool:
    """Return whether a folder has a ``tokenizer.model`` and no ``tokenizer.json``."""
    return (folder / FILE).is_file() and not (folder / "tokenizer.json").exists()


def refuse_unless_readable(folder: Path, name: str) -> None:
    """Refuse a vocabulary file that cannot be read with what is installed.

    Raises:
        ModelRefused: naming the packages that are missing.
    """
    with (folder / FILE).open("rb") as content:
        first = content.read(1)
    if first != _PROTOBUF:
        raise ModelRefused(
            f"{name} has its vocabulary in {FILE} of tiktoken alone, which does not say how a text "
            "is split: put the model's tokenizer.json beside it"
        )
    missing = [
        package
        for package, module in (("sentencepiece", "sentencepiece"), ("protobuf", "google.protobuf"))
        if not _is_there(module)
    ]
    if missing:
        raise ModelRefused(
            f"{name} has its vocabulary in {FILE} alone, which is read with "
            f"{' and '.join(missing)}: run 'pip install {' '.join(missing)}' and start again, or "
            "put the model's tokenizer.json beside it"
        )


def refuse_unless_same(tokenizer: PreTrainedTokenizerFast, folder: Path, name: str) -> None:
    """Refuse a tokenizer that transformers made of a SentencePiece file and that reads otherwise.

    Raises:
        ModelRefused: with a text that it reads otherwise.
    """
    original: Any = import_module("sentencepiece").SentencePieceProcessor(str(folder / FILE))
    for text in _TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if list(ids) != original.encode(text):
            raise ModelRefused(
                f"{name} has its vocabulary in {FILE} alone, and transformers reads {text!r} "
                "otherwise than SentencePiece does: put the model's tokenizer.json beside it, or "
                "its tokenizer_config.json with the right tokenizer_class"
            )


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False
