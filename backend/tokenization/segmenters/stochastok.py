"""Native tokens, some of them split again at random: StochasTok."""

import numpy as np
from pydantic import Field

from tokenarium.backend.tokenization.segmentation import Reading
from tokenarium.backend.tokenization.segmenter import Segmenter
from tokenarium.backend.tokenization.vocabulary import Vocabulary


class StochasTok(Segmenter):
    """Splits tokens of the native segmentation into two, again and again."""

    slug = "stochastok"
    title = "StochasTok"
    explanation = (
        "Begins with the native tokens and splits some into two tokens of the vocabulary, drawn at "
        "random: the model sees inside of words."
    )
    paper = "Sims et al., 2025, arXiv:2506.01687"
    draws = True

    share: float = Field(
        0.1,
        ge=0,
        le=4,
        title="Splits per token",
        description="Tries to split, as a share of the native tokens; a token without a split "
        "spends one.",
    )

    def segment(self, reading: Reading, seed: int) -> list[int]:
        """Return the native tokens after ``floor(share T)`` tries."""
        self.refuse_unless_spelled(reading)
        draw = np.random.default_rng(seed)
        tokens = list(reading.native)
        for _ in range(int(self.share * len(tokens))):
            place = int(draw.integers(len(tokens)))
            ways = splits(tokens[place], reading.vocabulary)
            if ways:
                tokens[place : place + 1] = ways[int(draw.integers(len(ways)))]
        return tokens


def splits(token: int, vocabulary: Vocabulary) -> list[tuple[int, int]]:
    """Return every pair of tokens that spell a token together."""
    spelled = vocabulary.spelled.get(token, b"")
    found = []
    for cut in range(1, len(spelled)):
        left = vocabulary.by_bytes.get(spelled[:cut])
        right = vocabulary.by_bytes.get(spelled[cut:])
        if left is not None and right is not None:
            found.append((left, right))
    return found
