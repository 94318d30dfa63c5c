"""Each segmenter against brute force, the tokenizers library, or counts by hand."""

from itertools import product

import numpy as np
import pytest

from tests.tokenization.toys import TEXTS, bpe, bundled, sentencepiece
from tokenarium.backend.tokenization.bpe import merged, steps
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.segmenters.digits import Digits
from tokenarium.backend.tokenization.segmenters.dropped_merges import DroppedMerges
from tokenarium.backend.tokenization.segmenters.fewest import Fewest
from tokenarium.backend.tokenization.segmenters.longest_match import LongestMatch
from tokenarium.backend.tokenization.segmenters.random_merges import RandomMerges
from tokenarium.backend.tokenization.segmenters.stochastok import StochasTok, splits
from tokenarium.backend.tokenization.vocabulary import Vocabulary

DRAW = np.random.default_rng(0)
TOY = bpe([("a", "b"), ("b", "b"), ("ab", "b"), ("a", "a"), ("aa", "b")])


def words(vocabulary: Vocabulary, ids: list[int]) -> list[str]:
    return [vocabulary.entries[key] for key in ids]


def shortest(piece: bytes, vocabulary: Vocabulary) -> int:
    if not piece:
        return 0
    ways = [n for n in range(1, len(piece) + 1) if piece[:n] in vocabulary.by_bytes]
    return 1 + min(shortest(piece[n:], vocabulary) for n in ways)


@pytest.mark.parametrize("size", range(1, 9))
def test_fewest_is_the_shortest_there_is(size: int) -> None:
    for letters in product("ab", repeat=size):
        piece = "".join(letters).encode()
        assert len(Fewest().cut(piece, TOY, DRAW)) == shortest(piece, TOY)


def test_fewest_takes_the_longest_first_among_equals() -> None:
    assert words(TOY, Fewest().cut(b"aabb", TOY, DRAW)) == ["aab", "b"]


def test_longest_match_may_take_more_than_the_fewest() -> None:
    vocabulary = bpe([("a", "b"), ("b", "b"), ("bb", "b"), ("bbb", "b")])
    assert words(vocabulary, LongestMatch().cut(b"abbbb", vocabulary, DRAW)) == ["ab", "bbb"]
    assert words(vocabulary, Fewest().cut(b"abbbb", vocabulary, DRAW)) == ["ab", "bbb"]
    assert words(vocabulary, LongestMatch().cut(b"abbbbb", vocabulary, DRAW)) == ["ab", "bbbb"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("vocabulary", [bundled(), sentencepiece()], ids=["bytes", "characters"])
def test_merging_by_rank_is_what_the_library_does(text: str, vocabulary: Vocabulary) -> None:
    reading = read(vocabulary, text)
    found = [k for p in reading.pieces for k in merged(vocabulary.symbols(p), vocabulary.merges)]
    assert tuple(found) == reading.native
    none = DroppedMerges(dropout=0).segment(reading, 0)
    assert tuple(none) == reading.native


def test_everything_dropped_leaves_the_symbols() -> None:
    reading = read(bundled(), TEXTS[0])
    found = DroppedMerges(dropout=1).segment(reading, 0)
    assert len(found) == len(TEXTS[0].encode())


def test_steps_begin_with_symbols_and_merge_one_pair_each() -> None:
    shown = [words(TOY, tokens) for tokens in steps(TOY.symbols(b"aabb"), TOY.merges)]
    assert shown == [
        ["a", "a", "b", "b"],
        ["a", "ab", "b"],
        ["a", "abb"],
    ]


def test_a_random_order_of_merges_differs_from_the_list() -> None:
    reading = read(bundled(), TEXTS[0] * 3)
    assert tuple(RandomMerges().segment(reading, 0)) != reading.native


def test_splits_are_all_pairs_of_tokens() -> None:
    token = TOY.by_bytes[b"abb"]
    assert [words(TOY, list(pair)) for pair in splits(token, TOY)] == [["a", "bb"], ["ab", "b"]]
    assert splits(TOY.by_bytes[b"a"], TOY) == []


def test_stochastok_splits_as_often_as_enumeration_says() -> None:
    """Of aab|ab|a one try out of three meets a token that cannot be split."""
    reading = read(TOY, "aababa")
    assert [TOY.entries[key] for key in reading.native] == ["a", "ab", "ab", "a"]
    once = StochasTok(share=0.25)
    lengths = [len(once.segment(reading, seed)) - 4 for seed in range(4000)]
    # Two of four tokens can be split; the standard error of the mean is .008.
    assert abs(np.mean(lengths) - 0.5) < 0.03


def test_digits_are_grouped_from_either_side() -> None:
    digits = [("1", "2"), ("12", "3"), ("4", "5"), ("3", "4"), ("34", "5")]
    vocabulary = bpe(digits, "x12345")
    reading = read(vocabulary, "x12345")
    right = Digits().segment(reading, 0)
    left = Digits(begin="left").segment(reading, 0)
    assert words(vocabulary, right) == ["x", "12", "345"]
    assert words(vocabulary, left) == ["x", "123", "45"]


def test_digits_leave_other_text_as_it_is() -> None:
    reading = read(bundled(), "The old king saw 12 of them")
    assert tuple(Digits().segment(reading, 0)) == reading.native
