"""Numbers in groups of digits, counted from the left or from the right."""

import re
from typing import Literal

import numpy as np
from pydantic import Field

from tokenarium.backend.tokenization.bpe import merged, refuse_without_merges
from tokenarium.backend.tokenization.segmentation import Reading
from tokenarium.backend.tokenization.segmenter import Segmenter
from tokenarium.backend.tokenization.vocabulary import Vocabulary

_DIGITS = re.compile(rb"\d+")


class Digits(Segmenter):
    """Cuts numbers as a comma would, and everything else as BPE does."""

    slug = "digits"
    title = "Digits in groups"
    explanation = (
        "Cuts every number into groups of digits, from the right as 1,234 is written or from the "
        "left; a group is one token only where the vocabulary has it."
    )
    paper = "Singh & Strouse, 2024, arXiv:2402.14903"
    differs = "the tokens are those of the same vocabulary; no comma is put into the text"

    size: int = Field(3, ge=1, le=9, title="Digits in a group", description="Digits in a group.")
    begin: Literal["right", "left"] = Field(
        "right", title="Counted from", description="Where groups are counted from."
    )

    def segment(self, reading: Reading, seed: int) -> list[int]:
        """Return the tokens of a text; refused for vocabularies without merges."""
        self.refuse_unless_spelled(reading)
        refuse_without_merges(reading.vocabulary, self.title)
        if not _DIGITS.search(reading.source):
            return list(reading.native)
        return super().segment(reading, seed)

    def cut(self, piece: bytes, vocabulary: Vocabulary, draw: np.random.Generator) -> list[int]:  # noqa: ARG002
        """Return the tokens of one pre-token: of 12345, [12, 345] or [123, 45]."""
        found: list[int] = []
        start = 0
        for stop in (*self._borders(piece), len(piece)):
            if stop > start:
                part = piece[start:stop]
                whole = vocabulary.by_bytes.get(part) if part.isdigit() else None
                symbols = vocabulary.symbols(part)
                found += [whole] if whole is not None else merged(symbols, vocabulary.merges)
            start = stop
        return found

    def _borders(self, piece: bytes) -> list[int]:
        found = []
        for number in _DIGITS.finditer(piece):
            first = (len(number[0]) % self.size if self.begin == "right" else 0) or self.size
            found += [number.start(), *range(number.start() + first, number.end(), self.size)]
            found.append(number.end())
        return found
