"""The fewest tokens that spell a text."""

import numpy as np

from tokenarium.backend.tokenization.segmenter import Segmenter
from tokenarium.backend.tokenization.vocabulary import Vocabulary


class Fewest(Segmenter):
    """The shortest segmentation, found exactly."""

    slug = "fewest"
    title = "Fewest tokens"
    explanation = (
        "Finds the fewest tokens of the vocabulary that spell the text, by dynamic programming; of "
        "several shortest ways the one whose first token is longest, and so on."
    )
    paper = "Sawada & Goyal, 2025, arXiv:2508.06621; Schmidt et al., 2024, arXiv:2402.18376"
    differs = "ties go to the longest token from the left"

    def cut(self, piece: bytes, vocabulary: Vocabulary, draw: np.random.Generator) -> list[int]:  # noqa: ARG002
        """Return the tokens of one pre-token, from the counts of its ends, right to left.

        Raises:
            ValueError: if no tokens of the vocabulary spell it.
        """
        size = len(piece)
        count = [size + 1] * size + [0]
        best: list[tuple[int, int]] = [(0, 0)] * size
        for start in range(size - 1, -1, -1):
            for stop in range(min(size, start + vocabulary.longest), start, -1):
                token = vocabulary.by_bytes.get(piece[start:stop])
                if token is not None and count[stop] + 1 < count[start]:
                    count[start], best[start] = count[stop] + 1, (token, stop)
        if size and count[0] > size:
            return vocabulary.single_bytes(piece)
        found, start = [], 0
        while start < size:
            token, start = best[start]
            found.append(token)
        return found
