"""Byte-pair encoding with its merges in another order."""

import numpy as np

from tokenarium.backend.tokenization.bpe import merged, refuse_without_merges
from tokenarium.backend.tokenization.segmentation import Reading
from tokenarium.backend.tokenization.segmenter import Segmenter
from tokenarium.backend.tokenization.vocabulary import Vocabulary


class RandomMerges(Segmenter):
    """The same merges in an order drawn once per seed."""

    slug = "random_merges"
    title = "Random merge order"
    explanation = "Merges the pairs of the list, but in an order that is drawn at random."
    paper = "Sawada & Goyal, 2025, arXiv:2508.06621"
    differs = "one order is drawn for the whole list and kept for the text"
    draws = True

    def segment(self, reading: Reading, seed: int) -> list[int]:
        """Return the tokens of a text under one drawn order."""
        self.refuse_unless_spelled(reading)
        vocabulary = reading.vocabulary
        refuse_without_merges(vocabulary, self.title)
        order = np.random.default_rng(seed).permutation(len(vocabulary.merge_list)).tolist()

        def cut(piece: bytes, vocabulary: Vocabulary) -> list[int]:
            symbols = vocabulary.symbols(piece)
            return merged(symbols, vocabulary.merges, lambda merge: order[merge.rank])

        return self.joined(cut(piece, vocabulary) for piece in reading.pieces if piece)
