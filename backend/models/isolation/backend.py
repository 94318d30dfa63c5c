"""What transformers takes for its Rust tokenizer: the work is done in another process."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from tokenarium.backend.models.isolation.child import packed, unpacked
from tokenarium.backend.models.isolation.process import TokenizerError, TokenizerProcess
from tokenarium.backend.models.offsets import keep_spaces

_CHANGING = {"add_tokens", "add_special_tokens", "enable_truncation", "enable_padding"} | {
    "no_truncation",
    "no_padding",
}


@dataclass
class Encoding:
    """A text as the tokenizer read it; named as in ``tokenizers.Encoding``."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    special_tokens_mask: list[int]
    overflowing: list["Encoding"] = field(default_factory=list)
    n_sequences: int = 1

    @property
    def type_ids(self) -> list[int]:
        return [0] * len(self.ids)

    @property
    def attention_mask(self) -> list[int]:
        return [1] * len(self.ids)


class IsolatedBackend:
    """The Rust tokenizer of a foreign model.

    What reads or makes texts goes to the process; the vocabulary and what else is looked up is
    answered here.

    Args:
        real: as transformers has read it.
        name: of the model, for messages.
    """

    def __init__(self, real: Tokenizer, name: str) -> None:
        self.__dict__.update(_real=real, _process=TokenizerProcess(name))

    def __getattr__(self, name: str) -> Any:
        if name in _CHANGING:
            self._process.forget()
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)
        if name != "encode_special_tokens":
            self._process.forget()

    def encode_batch(
        self,
        input: Sequence[str],  # noqa: A002 - the Rust tokenizer's name
        is_pretokenized: bool = False,
        add_special_tokens: bool = True,
    ) -> list[Encoding]:
        """Return each text's tokens."""
        if is_pretokenized or not all(isinstance(text, str) for text in input):
            raise ValueError("a foreign model's tokenizer reads whole texts only, one by one")
        split = bool(self._real.encode_special_tokens)
        found = self._ask(do="encode", texts=list(input), added=add_special_tokens, split=split)
        made = []
        for one in found:
            places = iter(unpacked(one["offsets"]))
            spans = list(zip(places, places, strict=True))
            made.append(Encoding(unpacked(one["ids"]), spans, unpacked(one["special"])))
        return made

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Return the text of ids."""
        return self.decode_batch([ids], skip_special_tokens)[0]

    def decode_batch(
        self, sequences: Sequence[Sequence[int]], skip_special_tokens: bool = True
    ) -> list[str]:
        """Return the text of each sequence of ids."""
        rows = [packed(int(key) for key in row) for row in sequences]
        found: list[str] = self._ask(do="decode", rows=rows, skip=skip_special_tokens)
        return found

    def fill(self, template: str, turns: Sequence[dict[str, str]], **options: Any) -> str:
        """Return the turns as a chat template writes them.

        Raises:
            TokenizerError: as the template itself says.
            TokenizerStopped: if it was stopped.
        """
        asked = {"do": "fill", "template": template, "turns": list(turns), "options": options}
        return str(self._process.ask(self._begun, **asked))

    def _ask(self, **asked: Any) -> Any:
        try:
            return self._process.ask(self._begun, **asked)
        except TokenizerError as error:
            raise ValueError(
                f"the tokenizer of {self._process.name} fails on this text ({error}): change the "
                "text, or choose another model"
            ) from error

    def _begun(self) -> dict[str, Any]:
        return {"do": "load", "state": self._real.to_str()}


def try_file(file: Path, name: str) -> None:
    """Read a tokenizer.json in a process first, as its regular expressions may never end.

    Raises:
        ValueError: if that takes too long or too much memory, or raises an error.
    """
    TokenizerProcess(name).ask(lambda: None, do="try_file", file=str(file))


def isolate(tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    """Have a tokenizer do its work in a process of its own.

    Args:
        tokenizer: as read; changed.
        name: of the model, for messages.

    Raises:
        ValueError: if it cannot be handed to another process.
    """
    keep_spaces(tokenizer)
    backend = IsolatedBackend(tokenizer.backend_tokenizer, name)
    backend.to_str()
    tokenizer._tokenizer = backend  # noqa: SLF001 - transformers offers no setter


def backend_of(tokenizer: PreTrainedTokenizerFast) -> IsolatedBackend | None:
    """Return what stands in for the Rust tokenizer; None where that works in this process."""
    backend = tokenizer.backend_tokenizer
    return backend if isinstance(backend, IsolatedBackend) else None
