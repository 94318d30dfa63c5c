"""Native tokens of a word that the model reads as one vector."""

from collections.abc import Sequence

from tokenarium.backend.tokenization.segmentation import Reading
from tokenarium.backend.tokenization.segmenter import Segmenter
from tokenarium.backend.tokenization.word_groups import word_groups


class WholeWords(Segmenter):
    """Word-level dynamic tokenization: each word that is over is one vector."""

    slug = "whole_words"
    title = "Whole words, merged"
    explanation = (
        "The native tokens, but once a word is over the model reads one vector for it, the mean of "
        "its tokens' embeddings: a shorter text to read."
    )
    paper = "Feher et al., 2024, arXiv:2411.18553; Saad et al., 2025, arXiv:2507.14423, for code"
    differs = (
        "nothing is trained: the mean of embeddings in place of a hypernetwork; inside a word the "
        "tokens are read one by one, so that every token has a probability"
    )
    joins = True

    def segment(self, reading: Reading, seed: int) -> list[int]:  # noqa: ARG002
        """Return the native tokens."""
        self.refuse_unless_spelled(reading)
        return list(reading.native)

    def units(self, reading: Reading, ids: Sequence[int]) -> list[int]:  # noqa: ARG002
        """Return how many tokens each word has."""
        return [len(pieces) for pieces in word_groups(reading)]
