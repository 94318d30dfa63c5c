"""Tokenizers that are trained here: the same text gives the same one, and spells any other."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, trainers

from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.segmenters.native import Native
from tokenarium.backend.tokenization.settled import settled
from tokenarium.backend.tokenization.training import Kind, _prepared, growth, sizes_of, train
from tokenarium.backend.tokenization.vocabulary import Vocabulary

TEXT = "the old king and the old queen saw the sea; the king said nothing.\n" * 8


def made(kind: Kind, size: int = 300, *, words: bool = True) -> Vocabulary:
    return train(TEXT, kind, size, words=words, name="given/x", title="x")


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_trained_tokenizer_spells_any_text(kind: Kind) -> None:
    vocabulary = made(kind)
    assert len(vocabulary.entries) <= 300
    reading = read(vocabulary, "zwölf 🙂 kings\n")
    assert reading.spelled
    assert len(Native().segment(read(vocabulary, TEXT), 0)) < len(TEXT)


def test_training_twice_gives_the_same_merges() -> None:
    assert made("bpe").merge_list == made("bpe").merge_list
    assert made("bpe").digest == made("bpe").digest


def test_the_first_merge_is_the_most_frequent_pair() -> None:
    """By hand: t h is in every the, 4 a line, more than any other pair but h e, its equal."""
    assert made("bpe").merge_list[0] in {("t", "h"), ("h", "e")}


def test_tokens_beyond_words_have_spaces_inside() -> None:
    def inside(vocabulary: Vocabulary) -> bool:
        return any(b" " in spelled[1:].strip() for spelled in vocabulary.spelled.values())

    assert inside(made("bpe", words=False))
    assert not inside(made("bpe"))


def test_a_list_that_is_cut_off_is_what_fewer_entries_train() -> None:
    large = made("bpe", 320)
    reading = read(large, TEXT)
    for size in (270, 290, 320):
        small = made("bpe", size)
        [point] = growth(large, reading, [len(small.merge_list)])
        assert point.entries == len(small.entries)
        assert point.tokens == len(read(small, TEXT).native)


def test_growth_begins_with_bytes_and_ends_with_the_tokenizer() -> None:
    vocabulary = made("bpe")
    reading = read(vocabulary, TEXT)
    points = growth(vocabulary, reading, sizes_of(len(vocabulary.merge_list)))
    assert (points[0].entries, points[0].tokens) == (256, len(TEXT))
    assert points[-1].tokens == len(reading.native)
    tokens = [point.tokens for point in points]
    assert tokens == sorted(tokens, reverse=True)


def test_wordpiece_marks_what_continues_and_is_native_only() -> None:
    vocabulary = made("wordpiece")
    assert vocabulary.spelling == "wordpiece"
    reading = read(vocabulary, "the king")
    assert not reading.spelled
    assert len(reading.native) == 2


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(ValueError, match="the text to train on is empty"):
        train(" \n", "unigram", 300, words=True, name="x", title="x")


@pytest.mark.parametrize(
    ("kind", "size", "words"), [("bpe", 100, "size=100"), ("bpee", 300, "kind='bpee'")]
)
def test_what_cannot_be_trained_is_refused(kind: Kind, size: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made(kind, size)


def test_scores_of_unigram_are_the_librarys_but_for_chance() -> None:
    text = "the old king saw eine Übergröße of naïve cats; the queen saw 12 ships.\n" * 9
    core, trainer, options = _prepared("unigram", 330, 4, words=True)
    core.train_from_iterator(text.splitlines(keepends=True), getattr(trainers, trainer)(**options))
    theirs = dict(json.loads(core.to_str())["model"]["vocab"])
    state = settled(core.to_str())
    mine = json.loads(state)["model"]["vocab"]
    assert mine == sorted(mine, key=lambda each: (-each[1], each[0]))
    assert {piece for piece, _ in mine} == theirs.keys()
    shown = {piece for piece, _ in core.pre_tokenizer.pre_tokenize_str(text)}
    inside = {letter for piece in shown for letter in piece}
    unseen = sorted(
        [piece, score] for piece, score in mine if piece not in inside and len(piece) == 1
    )
    assert len(unseen) > 150
    steps = np.diff([score for _, score in unseen]) / 1e-4
    assert steps.min() > 0.9
    np.testing.assert_allclose(steps, steps.round(), atol=1e-6)
    asked = min(theirs.values()) + 256 * 1e-4
    for piece, score in mine:
        apart = 0.0256 if len(piece) == 1 and theirs[piece] < asked else 5.1e-5
        assert abs(score - theirs[piece]) <= apart
    read_by = Tokenizer.from_str(state)
    assert read_by.encode(text).tokens == core.encode(text).tokens


def test_letters_inside_of_words_are_no_special_tokens() -> None:
    vocabulary = made("wordpiece")
    marked = [entry for entry in vocabulary.entries.values() if entry.startswith("##")]
    letters = {
        letter for word in TEXT.replace(";", " ").split() for letter in word[1:] if letter != "."
    }
    assert {entry[2:] for entry in marked if len(entry) == 3} == letters
    assert len(vocabulary.added) == 1
    assert marked[: len(letters)] == ["##" + letter for letter in sorted(letters)]
