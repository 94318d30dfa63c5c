"""Words and sentences are found from the tokens alone, in any script and in linear time."""

import time
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenarium.backend.analysis.segmentation import word_and_sentence_starts


def joined(tokens: list[str], begins: np.ndarray) -> list[str]:
    """Return the units as text."""
    places = [*np.flatnonzero(begins).tolist(), len(tokens)]
    return ["".join(tokens[a:b]) for a, b in pairwise(places)]


def split(tokens: list[str], added: tuple[int, ...] = ()) -> tuple[list[str], list[str]]:
    special = np.zeros(len(tokens), bool)
    special[list(added)] = True
    word, sentence = word_and_sentence_starts(tokens, special)
    return joined(tokens, word), joined(tokens, sentence)


def test_words_are_whole_and_signs_stand_alone() -> None:
    words, _ = split(["Un", "believ", "able", ",", " “", "Don", "'t", " pay", " 3", ".", "14", "."])
    assert words == ["Unbelievable", ",", " “", "Don't", " pay", " 3.14", "."]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("He left. She stayed.", ["He left. ", "She stayed."]),
        ("It is 3.14 now", ["It is 3.14 now"]),
        ("“Go!” he said. Then", ["“Go!” he said. ", "Then"]),
        ("Well...  it was", ["Well...  it was"]),
        ("“No.” Then", ["“No.” ", "Then"]),
        ("Dr. Who saw J. Doe. He", ["Dr. Who saw J. Doe. ", "He"]),
        ("a line\nthat goes on", ["a line\nthat goes on"]),
        ("a title\n\nthe text", ["a title\n\n", "the text"]),
        ("今日は良い。天気", ["今日は良い。", "天気"]),
        ("दो। एक", ["दो। ", "एक"]),
    ],
)
def test_a_sentence_ends_where_a_reader_would_say(text: str, wanted: list[str]) -> None:
    assert split(list(text))[1] == wanted


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        (["今", "日は", "良"], ["今", "日は", "良"]),
        (["हिन्", "दी", " भाषा"], ["हिन्दी", " भाषा"]),
        (["ca", "f<0xC3>", "<0xA9>", " x"], ["caf<0xC3><0xA9>", " x"]),
        (["ż", "ó", "ł", "ć\u2019", "i"], ["żółć\u2019i"]),
    ],
)
def test_words_of_other_scripts(tokens: list[str], wanted: list[str]) -> None:
    assert split(tokens)[0] == wanted


def test_an_added_token_is_a_unit_of_its_own() -> None:
    words, sentences = split(["<s>", "a", "b", "</s>", "c"], added=(0, 3))
    assert words == sentences == ["<s>", "ab", "</s>", "c"]


@given(st.lists(st.text("aB.!? \n1,'。日é", max_size=4), min_size=1, max_size=40))
def test_units_cover_the_text_and_a_sentence_begins_with_a_word(tokens: list[str]) -> None:
    word, sentence = word_and_sentence_starts(tokens, np.zeros(len(tokens), bool))
    assert word[0]
    assert sentence[0]
    assert not (sentence & ~word).any()


@given(st.text("aB. \n1'", min_size=1, max_size=30), st.data())
def test_how_a_text_is_cut_into_tokens_moves_no_sentence(text: str, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=len(text), max_size=len(text)))
    ends = [0, *(e for e in accumulate(sizes) if e < len(text)), len(text)]
    tokens = [text[a:b] for a, b in pairwise(ends)]
    by_character = np.flatnonzero(
        word_and_sentence_starts(list(text), np.zeros(len(text), bool))[1]
    )
    wanted = {max(i for i, e in enumerate(ends[:-1]) if e <= place) for place in by_character}
    found = word_and_sentence_starts(tokens, np.zeros(len(tokens), bool))[1]
    assert set(np.flatnonzero(found).tolist()) == wanted


@pytest.mark.parametrize("token", [" ", ".", "\n", "。", "a", "1,", "'", ". ", "a'"])
def test_no_text_takes_long(token: str) -> None:
    started = time.thread_time()  # not slowed by what else the machine does
    word_and_sentence_starts([token] * 131_072, np.zeros(131_072, bool))
    # A pattern that looks again from every place would need minutes.
    assert time.thread_time() - started < 5
