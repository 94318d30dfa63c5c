"""Whether tokens are what a byte-level BPE tokenizer itself would give."""

from collections.abc import Sequence

from tokenarium.backend.tokenization.bpe import merged
from tokenarium.backend.tokenization.next_byte import Ids
from tokenarium.backend.tokenization.vocabulary import Vocabulary

_SAFE_WORDS = 2
"""Words before a place that are read again with what follows it: pre-tokens look no further."""


class CanonicalBpe:
    """Canonical segmentations of byte prefixes under a byte-level BPE vocabulary.

    Args:
        vocabulary: of a model.

    Raises:
        ValueError: if it is of another kind.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        if vocabulary.spelling != "byte_level" or not vocabulary.merges:
            raise ValueError(
                f"exact next bytes need a byte-level BPE tokenizer, and {vocabulary.title} is "
                f"{vocabulary.model} of the kind {vocabulary.spelling}: choose another model, such "
                "as smollm2-135m-instruct"
            )
        self._vocabulary = vocabulary

    def left(self, prefix: bytes) -> Ids:
        """Return the canonical tokens of a prefix, also of one that ends inside a character."""
        text, rest = _whole(prefix)
        [ids] = self._vocabulary.engine.encode([text])
        if not rest:
            return tuple(ids)
        # What begins a character belongs to the word before it; no merge goes beyond that.
        start = len(text.rstrip().encode()) if text != text.rstrip() else _word(text)
        [before] = self._vocabulary.engine.encode([text.encode()[:start].decode()])
        piece = prefix[start:]
        return (*before, *merged(self._vocabulary.symbols(piece), self._vocabulary.merges))

    def follows(self, left: Ids, prefix: bytes, tokens: Sequence[int]) -> list[bool]:
        """Return for each token whether it can follow the canonical tokens of a prefix."""
        tail, ids = self._tail(left, prefix)
        spelled = self._vocabulary.spelled
        texts: dict[int, str] = {}
        for key in tokens:
            text, rest = _whole(tail + spelled[key])
            if not rest:
                texts[key] = text
        known = dict(zip(texts, self._vocabulary.engine.encode(list(texts.values())), strict=True))
        found = []
        for key in tokens:
            cut = known.get(key)
            if cut is None:
                cut = merged(self._vocabulary.symbols(tail + spelled[key]), self._vocabulary.merges)
            found.append(list(cut) == [*ids, key])
        return found

    def _tail(self, left: Ids, prefix: bytes) -> tuple[bytes, Ids]:
        """Return the last words of a prefix that are cut alike alone, and their tokens."""
        text, rest = _whole(prefix)
        start = len(text)
        for _ in range(_SAFE_WORDS):
            start = max(text.rfind(" ", 0, start), 0)
            while start > 0 and text[start - 1].isspace():
                start -= 1
        size = len(text[:start].encode())
        [before] = self._vocabulary.engine.encode([text[:start]])
        if tuple(before) != left[: len(before)] or rest:
            return prefix, left
        return prefix[size:], left[len(before) :]


def _whole(prefix: bytes) -> tuple[str, bytes]:
    """Return the whole characters of bytes, and what is left: the beginning of one."""
    for size in range(min(4, len(prefix) + 1)):
        cut = len(prefix) - size
        try:
            return prefix[:cut].decode(), prefix[cut:]
        except UnicodeDecodeError:
            continue
    return prefix.decode("utf-8", "ignore"), b"\xff"


def _word(text: str) -> int:
    """Return the byte at which the last word of a text begins, its space included."""
    return len(text[: max(text.rfind(" "), 0)].encode())
