"""What is counted of a segmentation: tokens, bytes, words, and pieces of characters."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.tokenization.segmentation import Segmentation, Spans
from tokenarium.backend.tokenization.vocabulary import Vocabulary

_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Counts:
    """Of one segmentation of one text."""

    tokens: int
    bytes_per_token: float
    fertility: float
    """Tokens per word; words are runs without spaces."""
    continued: float
    """Share of the words that are cut inside."""
    fallback: float
    """Share of the tokens that are a byte and no whole character."""


def word_spans(text: str) -> Spans:
    """Return [w, 2] [start, stop) in bytes of each word: a run without spaces."""
    found, place, last = [], 0, 0
    for word in _WORD.finditer(text):
        place += len(text[last : word.start()].encode())
        size = len(word[0].encode())
        found.append((place, place + size))
        place, last = place + size, word.end()
    return np.array(found, np.int32).reshape(-1, 2)


def count(cut: Segmentation, text: str, vocabulary: Vocabulary) -> Counts:
    """Return what is counted of a segmentation.

    Of ``un|believ|able| luck``: two words, fertility 2, half of the words continued.
    """
    words = word_spans(text)
    starts = np.sort(cut.spans[:, 0])
    inside = np.searchsorted(starts, words[:, 1]) - np.searchsorted(starts, words[:, 0], "right")
    tokens, size = len(cut.ids), len(text.encode())
    fallback = sum(vocabulary.is_fallback(key) for key in cut.ids)
    return Counts(
        tokens=tokens,
        bytes_per_token=size / tokens if tokens else float("nan"),
        fertility=tokens / len(words) if len(words) else float("nan"),
        continued=float((inside > 0).mean()) if len(words) else float("nan"),
        fallback=fallback / tokens if tokens else float("nan"),
    )


def by_word(text: str, spans: Spans, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return [w] the sum of a value over the tokens of each word.

    A token belongs to the word in which its last byte stands, or to the next one where it ends with
    spaces; what follows the last word belongs to that.

    Args:
        text: of w words.
        spans: [n, 2] of the tokens.
        values: [n] one number per token; NaN counts as 0.
    """
    words = word_spans(text)
    if not len(words):
        return np.zeros(0)
    owner = np.searchsorted(words[:, 1], np.maximum(spans[:, 1], 1), side="left")
    sums = np.zeros(len(words))
    np.add.at(sums, np.minimum(owner, len(words) - 1), np.nan_to_num(values.astype(np.float64)))
    return sums
