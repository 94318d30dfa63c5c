"""The native tokens of a text by the words that they spell."""

import re
from itertools import accumulate

from tokenarium.backend.tokenization.segmentation import Reading

Pieces = tuple[int, ...]
_WORDS = re.compile(r" ?[^\W\d_]+| ?\d+| ?[^\w\s]+|\s+(?=\s)|\s+|_+")
"""Letters, digits or signs, with a space before them; what is between them."""


def word_groups(reading: Reading) -> list[Pieces]:
    """Return the native tokens of each word; together they are all of the text.

    Words are the pre-tokens of the tokenizer. One that writes spaces into its tokens, as
    SentencePiece does, may have none that end where words do, or none at all: there a word begins
    at a space and wherever letters, digits and signs meet, if a token begins there too.

    Args:
        reading: of a text that the native tokens spell.
    """
    ends, spelled = _ends(reading), reading.vocabulary.spelled
    lengths = [len(spelled.get(key, b"")) for key in reading.native]
    found: list[Pieces] = []
    taken: list[int] = []
    for key, place in zip(reading.native, accumulate(lengths), strict=True):
        taken.append(key)
        if place in ends:
            found.append(tuple(taken))
            taken = []
    return found


def _ends(reading: Reading) -> set[int]:
    """Return where words end, in bytes of the pre-tokens."""
    pieces = reading.pieces
    if reading.vocabulary.spelling != "byte_level" or len(pieces) < 2:
        text = b"".join(pieces).decode("utf-8", "surrogateescape")
        pieces = tuple(w.encode("utf-8", "surrogateescape") for w in _WORDS.findall(text))
    return {*accumulate(map(len, pieces))}
