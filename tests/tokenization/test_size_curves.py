"""Tokens as a vocabulary grows, against cutting it off and against training smaller ones."""

import numpy as np
import pytest

from tests.tokenization.toys import TEXTS, bpe, bundled
from tokenarium.backend.tokenization.languages import Parallel, parallel_text
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.size_curves import (
    SizeCurve,
    cut_off,
    merge_ranks,
    tokens_at,
    trained,
)
from tokenarium.backend.tokenization.training import growth, train

WORDS = {
    "en": "the old king and the old queen saw the sea; the king said nothing. ",
    "de": "der alte Koenig und die alte Koenigin sahen das Meer; er sagte nichts. ",
}
LONG = {code: text * 40 for code, text in WORDS.items()}


@pytest.fixture(scope="module")
def texts() -> tuple[Parallel, ...]:
    return tuple(text for text in parallel_text() if text.code in ("en", "de", "ru"))


@pytest.fixture(scope="module")
def curves(texts: tuple[Parallel, ...]) -> tuple[SizeCurve, ...]:
    return trained(LONG, texts, "en", 330, words=True)


def test_one_pass_counts_what_each_shorter_list_gives() -> None:
    vocabulary = bundled()
    sizes = (0, 1, 40, 700, len(vocabulary.merge_list))
    text = Parallel("x", "x", "x", TEXTS)
    found = tokens_at(vocabulary, text, sizes)
    for row, sentence in enumerate(TEXTS):
        reading = read(vocabulary, sentence)
        points = growth(vocabulary, reading, sizes)
        assert found[row].tolist() == [point.tokens for point in points]
    assert found[:, -1].tolist() == [len(read(vocabulary, each).native) for each in TEXTS]


def test_ranks_are_those_of_the_merges_that_are_done() -> None:
    vocabulary = bpe([("a", "a"), ("aa", "b"), ("b", "b")])
    assert merge_ranks(vocabulary.symbols(b"aaab"), vocabulary.merges) == [0]
    assert merge_ranks(vocabulary.symbols(b"aabbb"), vocabulary.merges) == [0, 1, 2]


def test_a_tokenizer_cut_off_begins_with_bytes_and_ends_whole(texts: tuple[Parallel, ...]) -> None:
    vocabulary = bundled()
    english, german, russian = cut_off(vocabulary, texts, 0)
    assert [each.value for each in english.premiums] == [1] * len(english.entries)
    assert english.premiums[0].tokens == len("".join(english.text.sentences).encode())
    ends = [sum(map(len, vocabulary.engine.encode(list(t.sentences)))) for t in texts]
    assert [c.premiums[-1].tokens for c in (english, german, russian)] == ends
    assert english.entries[0] == 256
    assert english.entries[-1] == len(vocabulary.entries)
    # Trained on English alone: what its entries save, they save English.
    assert german.premiums[-1].value > german.premiums[0].value
    assert russian.premiums[-1].value > german.premiums[-1].value


def test_each_language_is_trained_on_equal_bytes(
    curves: tuple[SizeCurve, ...], texts: tuple[Parallel, ...]
) -> None:
    equal = min(len(text.encode()) for text in LONG.values())
    for curve, code in zip(curves, LONG, strict=True):
        text = LONG[code].encode()[:equal].decode()
        for at in (6, len(curve.entries) - 1):
            small = train(text, "bpe", curve.entries[at], words=True, name="x", title="x")
            cut = small.engine.encode(list(curve.text.sentences))
            assert curve.premiums[at].tokens == sum(map(len, cut))
    shorter = min(len(curve.entries) for curve in curves)
    assert shorter > 6
    assert curves[0].entries[:shorter] == curves[1].entries[:shorter]
    for english, german in zip(curves[0].premiums, curves[1].premiums, strict=False):
        assert german.value == german.tokens / english.tokens
        assert german.low <= german.value <= german.high


def test_a_curve_ends_where_nothing_more_can_be_merged(texts: tuple[Parallel, ...]) -> None:
    little = {**LONG, "de": "so so la. " * 300}
    english, german = trained(little, texts, "en", 330, words=True)
    vocabulary = train(little["de"], "bpe", 330, words=True, name="x", title="x")
    assert len(vocabulary.entries) == 256 + 4  # so, la, and both with a space
    assert german.entries[-1] <= len(vocabulary.entries) < english.entries[-1]


def test_entries_for_fewer_tokens_lie_between_sizes(curves: tuple[SizeCurve, ...]) -> None:
    [curve, _] = curves
    first, last = curve.premiums[2].tokens, curve.premiums[3].tokens
    assert curve.entries_for(last) == pytest.approx(curve.entries[3])
    between = curve.entries_for((first + last) // 2)
    assert curve.entries[2] < between < curve.entries[3]
    assert np.isnan(curve.entries_for(1))
    assert curve.entries_for(10**6) == curve.entries[0]


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ({"en": LONG["en"]}, "a text in English and in another language are needed"),
        ({"en": LONG["en"], "xx": LONG["de"]}, "language='xx' is none of them"),
        ({"en": LONG["en"], "de": "kurz"}, "the text in German has 4 bytes"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    samples: dict[str, str], words: str, texts: tuple[Parallel, ...]
) -> None:
    with pytest.raises(ValueError, match=words):
        trained(samples, texts, "en", 300, words=True)
