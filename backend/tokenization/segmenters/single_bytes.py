"""One token per byte."""

import numpy as np

from tokenarium.backend.tokenization.segmenter import Segmenter
from tokenarium.backend.tokenization.vocabulary import Vocabulary


class SingleBytes(Segmenter):
    """The finest segmentation there is."""

    slug = "bytes"
    title = "Single bytes"
    explanation = "One token per byte, the finest segmentation: what nothing would be learned from."
    paper = "none; a baseline"

    def cut(self, piece: bytes, vocabulary: Vocabulary, draw: np.random.Generator) -> list[int]:  # noqa: ARG002
        """Return the tokens of one pre-token."""
        return vocabulary.single_bytes(piece)
