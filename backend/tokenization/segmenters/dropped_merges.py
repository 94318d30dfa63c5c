"""Byte-pair encoding that leaves merges out at random: BPE-dropout."""

import re

import numpy as np
from pydantic import Field

from tokenarium.backend.tokenization.bpe import merged, refuse_without_merges
from tokenarium.backend.tokenization.segmenter import Segmenter
from tokenarium.backend.tokenization.vocabulary import Vocabulary

_BEFORE_SPACES = re.compile(rb"(?<=[^ ])(?= )")
"""Where vocabularies without pre-tokens begin a word. What is dropped is drawn anew at every step,
so that in one long piece hardly anything would stay dropped."""


class DroppedMerges(Segmenter):
    """BPE-dropout: every merge that could be done is left out with a probability, at every step."""

    slug = "dropped_merges"
    title = "Dropped merges"
    explanation = (
        "BPE-dropout: at every step each possible merge is left out with a probability, so that "
        "rare words and common ones alike come in smaller pieces."
    )
    paper = "Provilkov et al., 2020, arXiv:1910.13267"
    draws = True

    dropout: float = Field(
        0.1,
        ge=0,
        le=1,
        title="Dropout",
        description="Probability that a possible merge is left out.",
    )

    def cut(self, piece: bytes, vocabulary: Vocabulary, draw: np.random.Generator) -> list[int]:
        """Return the tokens of one pre-token; dropout 0 is BPE, 1 gives what it begins with."""
        refuse_without_merges(vocabulary, self.title)
        found: list[int] = []
        for word in _BEFORE_SPACES.split(piece):
            symbols = vocabulary.symbols(word)
            found += merged(
                symbols, vocabulary.merges, dropped=lambda: bool(draw.random() < self.dropout)
            )
        return found
