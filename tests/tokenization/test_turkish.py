"""%TR and %Pure by hand: words that sound builds and that it does not, and a few tokens."""

from collections.abc import Iterator

import pytest

from tests.tokenization.toys import BUNDLED, SETTINGS, bpe
from tokenarium.backend import Lab, UserError
from tokenarium.backend.tokenization.turkish import (
    Dictionary,
    dictionary,
    folded,
    rendered,
    turkish,
    words_known,
)

SMALL = Dictionary(
    frozenset({"ev", "kitap", "göz"}), frozenset({"gel"}), ("lAr", "DA"), ("DI",), ()
)
WORDS = [
    "evlerde",
    "kitabı",
    "gözlükçülük",
    "bekliyor",
    "başlıyor",
    "söylüyor",
    "gidiyor",
    "ekmeğin",
    "olacağını",
    "yazdım",
    "masalar",
    "kurtarılamayacağını",
    "rengi",
    "dükkânlarımızdan",
]
NO_WORDS = ["evlarda", "masaler", "yazdim", "kitabda", "xyz", "lar", "evdü", "okulde"]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(SETTINGS) as made:
        yield made


@pytest.mark.parametrize("word", WORDS)
def test_words_are_roots_and_affixes_by_sound(word: str) -> None:
    assert dictionary().is_word(folded(word))


@pytest.mark.parametrize("word", NO_WORDS)
def test_what_sound_does_not_build_is_no_word(word: str) -> None:
    assert not dictionary().is_word(word)


@pytest.mark.parametrize(
    ("affix", "stem", "sounds"),
    [
        ("lAr", "ev", "ler"),
        ("lAr", "okul", "lar"),
        ("(y)I", "kapı", "yı"),
        ("(y)I", "göz", "ü"),
        ("(I)m", "ev", "im"),
        ("(I)m", "oda", "m"),
        ("DAn", "kitap", "tan"),
        ("CI", "göz", "cü"),
        ("Iyor", "bekl", "iyor"),
    ],
)
def test_an_affix_sounds_as_its_stem_asks(affix: str, stem: str, sounds: str) -> None:
    assert rendered(affix, stem) == sounds


def test_single_letters_are_no_affixes() -> None:
    assert min(map(len, dictionary().forms)) == 2
    assert not dictionary().is_pure("i")


def test_capitals_are_folded_as_in_turkish() -> None:
    assert folded("IŞIK İyi DÜKKÂN") == "ışık iyi dükkan"


def test_five_tokens_by_hand() -> None:
    """Of ev, lerde, ler, i and x two are words or roots, one an affix, and i is too short."""
    assert [SMALL.is_word(each) for each in ("ev", "evler", "lerde", "ler", "geldi")] == [
        True, True, False, False, True,
    ]  # fmt: skip
    assert [SMALL.is_pure(each) for each in ("ev", "evler", "ler", "kitab", "i", "dı")] == [
        True, False, True, True, False, True,
    ]  # fmt: skip
    letters = "evlrdgi"
    merges = [("e", "v"), ("l", "e"), ("le", "r"), ("Ġ", "ev")]
    vocabulary = bpe(merges, letters + "Ġ.")
    count = turkish(vocabulary, "evler evler. gev", SMALL)
    # Tokens: ev, ler, Ġev, ler, ".", Ġ, g, ev: with letters ev, ler, Ġev and g are distinct.
    assert (count.tokens, count.distinct, count.words, count.pure) == (8, 4, 2, 3)
    assert (count.percent_tr, count.percent_pure) == (50, 75)


def test_what_is_known_of_words_themselves() -> None:
    found = words_known("Ev evler, EVLER xyz gel 12", SMALL)
    assert (found.distinct, found.words, found.pure, found.unknown) == (4, 3, 2, ("xyz",))
    assert (found.roots, found.affixes) == (4, 3)


def test_the_shipped_paragraph_is_known_and_cut_into_few_words(lab: Lab) -> None:
    words = lab.tokenizers.turkish_words()
    assert words.words >= 0.9 * words.distinct
    count = lab.tokenizers.turkish(BUNDLED)
    assert 0 < count.percent_tr < 100 * words.words / words.distinct
    assert count.distinct <= count.tokens


@pytest.mark.parametrize(
    ("text", "words"), [("12 !", "has no letters"), ("a" * 20_001, "at most 20,000")]
)
def test_a_text_that_cannot_be_counted_in_is_refused(lab: Lab, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        lab.tokenizers.turkish(BUNDLED, text)
