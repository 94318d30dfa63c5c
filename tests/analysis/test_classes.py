"""Classes of tokens by their stated definition, and the mass each holds."""

import numpy as np
import pytest

from tests.ui.hand_made import trace
from tokenarium.backend.analysis.classes import CLASSES, mass_by_class, token_classes


def classes_of(*words: str, special: tuple[int, ...] = ()) -> list[str]:
    added = np.isin(np.arange(len(words)), special)
    codes = token_classes(trace(len(words), token_text=words, special=added))
    return [CLASSES[code] for code in codes]


def test_first_special_and_punctuation() -> None:
    found = classes_of("<s>", " Cat", ",", "\n\n", "</s>", " 7", "—", special=(0, 4))
    assert found == [
        "first",
        "content",
        "punctuation",
        "punctuation",
        "special",
        "content",
        "punctuation",
    ]


def test_function_words_cover_two_fifths_of_the_tokens() -> None:
    # 10 tokens: "the" 3 and "." 2 are enough for 4 of them; "a", also twice, comes too late.
    words = ("x", "The", ".", " the", ".", "the", "a", " A", "dog", "cat")
    assert classes_of(*words) == [
        "first",
        "function word",
        "punctuation",
        "function word",
        "punctuation",
        "function word",
        *["content"] * 4,
    ]


def test_a_word_said_once_is_no_function_word() -> None:
    assert classes_of("a", "b", "c", "d") == ["first", "content", "content", "content"]


@pytest.mark.parametrize(("length", "rare"), [(511, 0), (512, 6)])
def test_words_said_once_are_rare_in_long_texts_only(length: int, rare: int) -> None:
    once = [f"w{n}" for n in range(6)]
    often = [f"v{n % 50}" for n in range(length - 7)]
    assert classes_of("x", *once, *often).count("rare") == rare


def test_mass_by_class_is_a_ratio_of_sums() -> None:
    codes = np.int8([0, 2, 2, 4])
    found = mass_by_class(np.float32([4, 1, 3, 2]), np.array([2.0, 1, 1, 4]), codes)
    assert [c.name for c in found] == ["first", "punctuation", "content"]
    assert [c.times_noise for c in found] == [2, 2, 0.5]
    assert [c.mass_share for c in found] == pytest.approx([0.4, 0.4, 0.2])
    assert [c.count for c in found] == [1, 2, 1]
    assert [c.token_share for c in found] == [0.25, 0.5, 0.25]
    assert all(np.isnan([c.low, c.high]).all() for c in found)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        mass = random.gamma(2, 1, 60)  # mean 2 over noise 1
        (found,) = mass_by_class(mass, np.ones(60), np.full(60, 4, np.int8))
        covered += found.low <= 2 <= found.high
    assert 0.87 <= covered / 200 <= 0.99


def test_the_interval_is_the_same_every_time() -> None:
    mass = np.random.default_rng(0).random(30)
    found = [mass_by_class(mass, np.ones(30), np.full(30, 3, np.int8)) for _ in range(2)]
    assert found[0] == found[1]


def test_unknown_mass_is_left_out() -> None:
    codes = np.full(3, 4, np.int8)
    (found,) = mass_by_class(np.float32([np.nan, 2, 4]), np.ones(3), codes)
    assert (found.count, found.times_noise) == (2, 3)
    assert mass_by_class(np.full(3, np.nan), np.ones(3), codes) == ()
