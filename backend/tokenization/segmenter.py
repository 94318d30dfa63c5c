"""What a segmenter declares; everything else about it is derived from that."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of
from tokenarium.backend.tokenization.segmentation import Reading
from tokenarium.backend.tokenization.vocabulary import Vocabulary


class Segmenter(Method):
    """One way to cut a text into tokens of a vocabulary; subclassing registers it.

    A subclass overrides ``cut``, which sees one pre-token at a time, or ``segment``. One that takes
    single bytes::

        class Bytes(Segmenter):
            slug = "bytes"
            title = "Single bytes"
            explanation = "One token per byte."
            paper = "none; a baseline"

            def cut(self, piece, vocabulary, draw):
                return vocabulary.single_bytes(piece)

    The tokens must spell the text: ``segmentation_of`` refuses others.
    """

    registry: ClassVar[Registry[type["Segmenter"]]] = Registry(
        "segmenter", modules_of("tokenarium.backend.tokenization.segmenters")
    )

    paper: ClassVar[str]
    """Authors, year, arXiv id."""
    draws: ClassVar[bool] = False
    """Whether another seed gives another segmentation."""
    joins: ClassVar[bool] = False
    """Whether a model reads several tokens as one vector; ``units`` says which."""

    def cut(self, piece: bytes, vocabulary: Vocabulary, draw: np.random.Generator) -> list[int]:
        """Return the tokens of one pre-token.

        Raises:
            ValueError: if the vocabulary does not allow it.
        """
        raise NotImplementedError

    def segment(self, reading: Reading, seed: int) -> list[int]:
        """Return the tokens of a text.

        Args:
            reading: the text as the tokenizer reads it.
            seed: of what is drawn.

        Raises:
            ValueError: if the tokenizer or the text does not allow it.
        """
        self.refuse_unless_spelled(reading)
        draw = np.random.default_rng(seed)
        return self.joined(self.cut(piece, reading.vocabulary, draw) for piece in reading.pieces)

    def units(self, reading: Reading, ids: Sequence[int]) -> list[int]:  # noqa: ARG002
        """Return of how many tokens each vector is made that a model reads; they add up to all.

        Args:
            reading: the text as the tokenizer reads it.
            ids: as ``segment`` gave them.
        """
        return [1] * len(ids)

    @staticmethod
    def joined(parts: Iterable[list[int]]) -> list[int]:
        """Return parts one after another."""
        return [key for part in parts for key in part]

    def refuse_unless_spelled(self, reading: Reading) -> None:
        """Refuse a text whose bytes the tokens of a vocabulary do not spell.

        Raises:
            ValueError: naming why.
        """
        if not reading.spelled:
            raise ValueError(
                f"{self.title} needs tokens that spell the text byte by byte, and "
                f"{reading.vocabulary.title} changes this text first (its normaliser, or how its "
                "vocabulary writes words): choose the segmenter native, or another tokenizer"
            )
