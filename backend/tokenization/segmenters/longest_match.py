"""The longest token that fits, from the left."""

import numpy as np

from tokenarium.backend.tokenization.segmenter import Segmenter
from tokenarium.backend.tokenization.vocabulary import Vocabulary


class LongestMatch(Segmenter):
    """Greedy longest match, without the list of merges."""

    slug = "longest_match"
    title = "Longest match"
    explanation = (
        "Takes the longest token of the vocabulary that fits, from the left, and forgets in which "
        "order pairs were merged."
    )
    paper = "Sawada & Goyal, 2025, arXiv:2508.06621; Uzan et al., 2024, arXiv:2403.01289"

    def cut(self, piece: bytes, vocabulary: Vocabulary, draw: np.random.Generator) -> list[int]:  # noqa: ARG002
        """Return the tokens of one pre-token: ``abc`` is [ab, c] with the tokens a, b, c, ab."""
        found, start = [], 0
        while start < len(piece):
            for stop in range(min(len(piece), start + vocabulary.longest), start, -1):
                token = vocabulary.by_bytes.get(piece[start:stop])
                if token is not None:
                    break
            else:
                [token] = vocabulary.single_bytes(piece[start : start + 1])
                stop = start + 1
            found.append(token)
            start = stop
        return found
