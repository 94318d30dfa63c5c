"""A tokenizer with merges of another language: against byte-pair encoding counted anew."""

from collections import Counter
from itertools import pairwise

import pytest

from tests.tokenization.toys import BUNDLED, TEXTS, bpe, bundled, sentencepiece, tokenizers
from tokenarium.backend import Extension, UserError, portuguese_text
from tokenarium.backend.tokenization.bpe import merged
from tokenarium.backend.tokenization.extension import extended, regrouped, trained_merges
from tokenarium.backend.tokenization.languages import parallel_text
from tokenarium.backend.tokenization.new_tokens.words import words_of
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.segmenters.native import Native
from tokenarium.backend.tokenization.vocabulary import Vocabulary
from tokenarium.backend.tokenization.word_groups import word_groups

TEXT = portuguese_text()[:2_500]
MERGES = 40


@pytest.fixture(scope="module", params=["byte_level", "sentencepiece"])
def old(request: pytest.FixtureRequest) -> Vocabulary:
    return bundled() if request.param == "byte_level" else sentencepiece()


@pytest.fixture(scope="module")
def found() -> Extension:
    return tokenizers().extend(BUNDLED, TEXT, MERGES)


def naive(vocabulary: Vocabulary, text: str, count: int) -> list[tuple[int, int]]:
    """Return the pairs by counting all of the text again for every merge."""
    words = [list(word) for word in word_groups(read(vocabulary, text))]
    spelled, merges = dict(vocabulary.spelled), []
    escaped = {k for k in vocabulary.entries if vocabulary.is_fallback(k)}
    unfit = escaped if vocabulary.spelling == "sentencepiece" else set()
    while len(merges) < count:
        pairs = Counter(pair for word in words for pair in pairwise(word))
        fit = [
            (-times, spelled[a] + spelled[b], (a, b)) for (a, b), times in pairs.items()
            if times > 1 and spelled[a] + spelled[b] not in spelled.values()
            and not {a, b} & unfit
        ]  # fmt: skip
        if not fit:
            break
        _, whole, pair = min(fit)
        key = max(spelled) + 1
        spelled[key] = whole
        merges.append(pair)
        for word in words:
            at = 0
            while at + 1 < len(word):
                if (word[at], word[at + 1]) == pair:
                    word[at : at + 2] = [key]
                at += 1
    return merges


def test_merges_are_those_of_counting_anew(old: Vocabulary) -> None:
    pairs = trained_merges(old, TEXT, MERGES)
    assert pairs == naive(old, TEXT, MERGES)
    assert len(pairs) > 20


def test_the_first_merge_by_hand() -> None:
    """b a stands three times and a a once."""
    old = bpe([("a", "b")], "abĠ")
    assert old.entries == {0: "a", 1: "b", 2: "Ġ", 3: "ab"}
    assert trained_merges(old, "ba ba ba aa", 1) == [(1, 0)]
    assert trained_merges(old, "ab", 9) == []
    # bb is merged before ab, so that abb is never reached; a bb would spell it a second time.
    old = bpe([("b", "b"), ("a", "b"), ("ab", "b")], "abĠ")
    assert trained_merges(old, "abb abb abb", 1) == [(2, 0)]


@pytest.mark.parametrize("text", [*TEXTS, "A informação não é a mesma; ações, corações.", ""])
def test_it_spells_any_text_and_old_tokens_stay_in_order(old: Vocabulary, text: str) -> None:
    pairs = trained_merges(old, TEXT, MERGES)
    new = extended(old, pairs, "given/x", "x")
    before, after = read(old, text), read(new, text)
    assert after.spelled
    assert b"".join(new.spelled[key] for key in after.native) == b" " * after.added + text.encode()
    assert after.pieces == before.pieces
    assert len(after.native) <= len(before.native)
    # Taken apart again, the new tokens are the old ones.
    first = max(old.spelled) + 1
    made = {first + number: pair for number, pair in enumerate(pairs)}

    def apart(key: int) -> list[int]:
        return [k for part in made[key] for k in apart(part)] if key in made else [key]

    assert [k for key in after.native for k in apart(key)] == [*before.native]
    assert len(after.offsets) == len(after.native)
    assert Native().segment(after, 0) == [*after.native]


def test_reading_is_byte_pair_encoding_of_both_lists() -> None:
    old = bundled()
    new = extended(old, trained_merges(old, TEXT, MERGES), "given/x", "x")
    assert len(new.merge_list) == len(old.merge_list) + MERGES
    reading = read(new, TEXT)
    cut = [key for piece in reading.pieces for key in merged(new.symbols(piece), new.merges)]
    assert cut == [*reading.native]
    assert new.digest != old.digest


def test_regrouped_words_are_the_tokens_of_the_extended_one() -> None:
    old = bundled()
    pairs = trained_merges(old, TEXT, MERGES)
    new = extended(old, pairs, "given/x", "x")
    groups = regrouped(words_of(read(old, TEXT)), old, pairs)
    assert [key for group in groups for key in group] == [*read(old, TEXT).native]
    spelled = [b"".join(old.spelled[key] for key in group) for group in groups]
    assert spelled == [new.spelled[key] for key in read(new, TEXT).native]


def test_it_saves_in_its_own_language_and_not_in_others(found: Extension) -> None:
    by = {each.text.code: each for each in found.languages}
    assert len(by) == len(parallel_text())
    assert len(found.pieces) == MERGES
    assert by["pt"].ratio.high < 1
    assert by["pt"].ratio.value < by["es"].ratio.value <= 1
    assert by["en"].ratio.value > 0.98
    assert (by["ru"].before, by["ru"].ratio.value) == (by["ru"].after, 1)


def test_counts_are_those_of_both_tokenizers(found: Extension) -> None:
    kept = tokenizers()
    again = kept.extend(BUNDLED, TEXT, MERGES)
    assert again == found
    new, old = kept.get(found.name), bundled()
    for each in found.languages[::6]:
        sizes = [
            [len(read(v, sentence).native) for sentence in each.text.sentences] for v in (old, new)
        ]
        assert [each.before, each.after] == [sum(sizes[0]), sum(sizes[1])]
        assert each.ratio.value == each.after / each.before
    assert found.trained_bytes == len(TEXT.encode())
    assert found.title == f"{old.title} and 40 more"
    assert kept.growth(found.name, TEXT)[-1].tokens == len(read(new, TEXT).native)


def test_nothing_of_the_shipped_paragraph_is_trained_on() -> None:
    paragraph = next(each for each in parallel_text() if each.code == "pt")
    text = portuguese_text()
    words = [sentence.split() for sentence in paragraph.sentences]
    fives = {" ".join(each[n : n + 4]) for each in words for n in range(len(each) - 3)}
    assert not [part for part in fives if part in text]


@pytest.mark.parametrize(
    ("name", "text", "merges", "words"),
    [
        (BUNDLED, TEXT, 0, "merges=0 is out of range"),
        (BUNDLED, "", 9, "no pair of tokens stands twice"),
        (BUNDLED, "a" * 100_001, 9, "at most 100,000 are trained on"),
        (BUNDLED, "a \ud83d", 9, "unpaired surrogate"),
        ("given/none", TEXT, 9, "is not here any more"),
    ],
)
def test_what_cannot_be_extended_is_refused(name: str, text: str, merges: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        tokenizers().extend(name, text, merges)


def test_a_tokenizer_without_merges_is_refused() -> None:
    kept = tokenizers()
    made = kept.train("the old king saw the old sea " * 9, "unigram", 300)
    with pytest.raises(UserError, match="more merges needs a list of merges"):
        kept.extend(made.name, TEXT)
