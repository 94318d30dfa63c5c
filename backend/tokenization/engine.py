"""The Rust tokenizer behind a vocabulary: in this process, or in one of its own."""

import threading
from dataclasses import dataclass
from typing import Any, Protocol

from tokenizers import Tokenizer

from tokenarium.backend.models.isolation.child import pre_tokens
from tokenarium.backend.models.isolation.process import TokenizerError, TokenizerProcess


@dataclass(frozen=True)
class Read:
    """What a tokenizer makes of a text, special tokens left out."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    """[start, stop) of each token in code points of the text."""
    pieces: list[str]
    """Pre-tokens of the normalised text, in the characters of the vocabulary."""


class Engine(Protocol):
    """Cuts texts; safe to use from many threads."""

    def read(self, text: str) -> Read:
        """Return ids and pre-tokens of a text."""

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of each text, special tokens left out."""


class InProcess:
    """A tokenizer that this project ships or names, or trained itself."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.encode_special_tokens = True  # what spells a special token is plain text here
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._alone = threading.Lock()

    def read(self, text: str) -> Read:
        """Return ids and pre-tokens of a text."""
        with self._alone:
            found = self._tokenizer.encode(text, add_special_tokens=False)
            return Read(found.ids, found.offsets, pre_tokens(self._tokenizer, text))

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of each text, special tokens left out."""
        with self._alone:
            found = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return [one.ids for one in found]


class Isolated:
    """A foreign tokenizer, whose regular expressions may never end: it works in a process.

    Args:
        state: a tokenizer.json as text.
        name: for messages.
    """

    def __init__(self, state: str, name: str) -> None:
        self._state, self._process = state, TokenizerProcess(name)

    def read(self, text: str) -> Read:
        """Return ids and pre-tokens of a text.

        Raises:
            ValueError: if the tokenizer fails on it, or takes too long.
        """
        found = self._ask("read", text=text)
        return Read(found["ids"], [(a, b) for a, b in found["offsets"]], found["pieces"])

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of each text, special tokens left out.

        Raises:
            ValueError: if the tokenizer fails on one, or takes too long.
        """
        found: list[list[int]] = self._ask("ids", texts=texts)
        return found

    def _ask(self, do: str, **asked: object) -> Any:
        try:
            return self._process.ask(lambda: {"do": "load", "state": self._state}, do=do, **asked)
        except TokenizerError as error:
            raise ValueError(
                f"the tokenizer {self._process.name} fails on this text ({error}): change the "
                "text, or choose another tokenizer"
            ) from error
