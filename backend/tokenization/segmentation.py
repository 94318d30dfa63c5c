"""A text cut into tokens, each with its bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.models.offsets import close_gaps
from tokenarium.backend.runs.message import refuse_surrogate
from tokenarium.backend.tokenization.vocabulary import Vocabulary

Spans = NDArray[np.int32]


@dataclass(frozen=True)
class Reading:
    """A text as one tokenizer reads it, before it is cut."""

    vocabulary: Vocabulary
    text: str
    native: tuple[int, ...]
    """Ids that the tokenizer itself gives."""
    pieces: tuple[bytes, ...]
    """Pre-tokens: no token goes beyond one."""
    added: int
    """Bytes before the text that the tokenizer puts there: 1 for a space, else 0."""
    spelled: bool
    """Whether the pieces are the bytes of the text; false where a normaliser changed it, or the
    vocabulary writes words in another way."""
    offsets: tuple[tuple[int, int], ...]
    """[start, stop) of each native token in code points of the text."""

    @property
    def source(self) -> bytes:
        """The bytes of the text."""
        return self.text.encode()


@dataclass(frozen=True)
class Segmentation:
    """Tokens of a text, n of them."""

    ids: tuple[int, ...]
    spans: Spans
    """[n, 2] [start, stop) of each token in bytes of the text; together they tile it. Of tokens
    that spell one character in a normalised text the first has it whole."""
    canonical: bool
    """Whether it is what the tokenizer itself gives."""
    units: tuple[int, ...] = ()
    """Tokens of each vector that a model reads, where several are read as one; else empty."""


def read(vocabulary: Vocabulary, text: str) -> Reading:
    """Return a text as a tokenizer reads it.

    Raises:
        ValueError: if it has an unpaired surrogate.
    """
    refuse_surrogate("text", text)
    found = vocabulary.engine.read(text)
    pieces = tuple(vocabulary.bytes_of(piece) for piece in found.pieces)
    source, whole = text.encode(), b"".join(pieces)
    added = int(whole != source and whole == b" " + source)
    native = b"".join(vocabulary.spelled.get(key, b"") for key in found.ids)
    return Reading(
        vocabulary=vocabulary,
        text=text,
        native=tuple(found.ids),
        pieces=pieces,
        added=added,
        spelled=whole[added:] == source and native == whole,
        offsets=tuple(found.offsets),
    )


def segmentation_of(reading: Reading, ids: Sequence[int]) -> Segmentation:
    """Return where the tokens stand that a text was cut into.

    Args:
        reading: of the text.
        ids: that spell it.

    Raises:
        ValueError: if they do not.
    """
    canonical = tuple(ids) == reading.native
    if canonical and not reading.spelled:
        return Segmentation(tuple(ids), _from_offsets(reading), canonical)
    spelled = [reading.vocabulary.spelled.get(key, b"") for key in ids]
    if b"".join(spelled) != b"".join(reading.pieces):
        raise ValueError("the tokens do not spell the text")
    ends = np.fromiter(accumulate(map(len, spelled)), np.int32, len(spelled)) - reading.added
    ends = np.maximum(ends, 0)
    starts = np.concatenate([np.zeros(1, np.int32), ends[:-1]]) if len(ends) else ends
    return Segmentation(tuple(ids), np.stack([starts, ends], 1).astype(np.int32), canonical)


def _from_offsets(reading: Reading) -> Spans:
    """Return [n, 2] the native spans where a normaliser changed the text."""
    count = len(reading.native)
    closed = close_gaps(reading.text, list(reading.offsets), [False] * count)
    place = [0, *accumulate(len(c.encode("utf-8", "replace")) for c in reading.text)]
    spans = np.array([(place[a], place[b]) for a, b in closed], np.int32).reshape(-1, 2)
    for index in range(1, count):
        spans[index] = np.maximum(spans[index], spans[index - 1, 1])
    return spans
