"""Counts of a segmentation, by hand."""

import numpy as np
import pytest

from tests.tokenization.toys import TEXTS, bundled, sentencepiece
from tokenarium.backend.tokenization.counts import by_word, count, word_spans
from tokenarium.backend.tokenization.segmentation import Segmentation, read, segmentation_of


def cut(*ends: int) -> Segmentation:
    starts = [0, *ends[:-1]]
    spans = np.array(list(zip(starts, ends, strict=True)), np.int32)
    return Segmentation((0,) * len(ends), spans, canonical=True)


def test_words_and_their_pieces_are_counted() -> None:
    text = "unbelievable luck"  # un|believ|able| luck
    found = count(cut(2, 8, 12, 17), text, bundled())
    assert found.tokens == 4
    assert found.bytes_per_token == 17 / 4
    assert found.fertility == 2
    assert found.continued == 0.5


def test_a_word_is_not_continued_by_the_space_before_the_next() -> None:
    assert count(cut(2, 5), "ab cd", bundled()).continued == 0
    assert count(cut(3, 5), "ab cd", bundled()).continued == 0


def test_words_stand_where_their_bytes_do() -> None:
    assert word_spans("é ab\n").tolist() == [[0, 2], [3, 5]]
    assert word_spans(" ").tolist() == []


def test_pieces_of_characters_are_fallback() -> None:
    for vocabulary in (bundled(), sentencepiece()):
        reading = read(vocabulary, "🙂")
        found = count(segmentation_of(reading, reading.native), "🙂", vocabulary)
        assert found.fallback == pytest.approx(4 / (4 + reading.added))


def test_sums_by_word_keep_the_total() -> None:
    reading = read(bundled(), TEXTS[0])
    made = segmentation_of(reading, reading.native)
    values = np.random.default_rng(0).random(len(made.ids))
    sums = by_word(TEXTS[0], made.spans, values)
    assert len(sums) == len(TEXTS[0].split())
    assert sums.sum() == pytest.approx(values.sum())


def test_a_token_with_its_space_belongs_to_its_word() -> None:
    spans = cut(2, 5, 6).spans  # ab| cd|.
    assert by_word("ab cd.", spans, np.array([1.0, 2.0, 4.0])).tolist() == [1, 6]
