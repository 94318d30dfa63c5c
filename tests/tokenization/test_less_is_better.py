"""LiB: readings and what a unit saves against whole readings, and units that a text is made of."""

from itertools import pairwise

import numpy as np
import pytest

from tests.tokenization.toys import TEXTS, tokenizers
from tokenarium.backend import UserError
from tokenarium.backend.tokenization.less_is_better import cut, gain, learn, pieces_of, train_lib
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.segmenters.longest_match import LongestMatch
from tokenarium.backend.tokenization.training import train
from tokenarium.backend.tokenization.vocabulary import Vocabulary

WORDS = (b"kiru", b"mano", b"selta", b"bo", b"fudi", b"getsun")
UNITS = frozenset({b"ab", b"abc", b"cd", b"da", b"abca", b"bcd", b"\xc3\xa9"})


def spoken(count: int, seed: int = 0) -> bytes:
    """Return words drawn one after another, nothing between them."""
    draw = np.random.default_rng(seed)
    return b"".join(WORDS[at] for at in draw.integers(len(WORDS), size=count))


@pytest.fixture(scope="module")
def learned() -> Vocabulary:
    text = "the old king and the old queen saw the sea; the king said nothing.\n" * 12
    return train_lib(text, 330, words=False, name="given/x", title="x")


def test_the_longest_known_unit_is_read_from_the_left() -> None:
    assert cut(b"abcd", UNITS) == [3, 4]
    assert cut(b"dabcd", UNITS) == [2, 5]
    assert cut(b"abcabc", UNITS) == [4, 5, 6]
    assert cut(b"", UNITS) == []


def test_what_a_unit_saves_by_hand() -> None:
    """abc|d against ab|cd saves none, abc against ab|c one; da|bcd against d|abc|d one."""
    assert gain(b"abcd", [3, 4], 0, UNITS) == 0
    assert gain(b"abc", [3], 0, UNITS) == 1
    assert gain(b"dabcd", [2, 5], 0, UNITS) == 1
    units = UNITS | {b"bcdx"}
    assert gain(b"abcdx", cut(b"abcdx", units), 0, units) == 0
    assert gain(b"abbcdx", [2, 6], 0, units) == 1
    assert gain(b"xabcdx", [1, 4, 5, 6], 1, {b"abc", b"bcdx"}) == -1


@pytest.mark.parametrize("seed", range(4))
def test_what_a_unit_saves_is_the_difference_of_whole_readings(seed: int) -> None:
    draw = np.random.default_rng(seed)
    piece = bytes(draw.choice(list(b"abcd"), 300).tolist())
    ends = cut(piece, UNITS)
    judged = 0
    for at, (start, stop) in enumerate(pairwise([0, *ends])):
        saved = gain(piece, ends, at, UNITS)
        if stop - start < 2 or saved is None:
            continue
        # The unit's longest rival by hand, and all of the rest read anew.
        rivals = [start + n for n in range(2, stop - start) if piece[start : start + n] in UNITS]
        place = max(rivals, default=start + 1)
        whole = at + 1 + len(cut(piece[place:], UNITS))
        assert saved == whole - len(ends)
        judged += 1
    assert judged > 20


def test_a_text_of_six_words_is_read_by_its_words() -> None:
    """No unit that is kept ends inside a word and begins there too: those save nothing."""
    text = spoken(1_500)
    units, epochs = learn([text[n : n + 300] for n in range(0, len(text), 300)], 40)
    fresh = spoken(400, seed=1)
    tokens = len(cut(fresh, set(units)))
    assert {*WORDS} - {*units[:40]} == set()
    assert tokens < 400  # one token a word, or several words in one
    assert epochs[0].tokens == len(text)
    assert epochs[0].units == 0
    assert epochs[-1].tokens < epochs[4].tokens < epochs[1].tokens


def test_lines_that_come_again_become_the_best_units() -> None:
    units, epochs = learn([b"kirumano"] * 40 + [b"kirubo"] * 40, 300)
    assert {*units[:2]} == {b"kirumano", b"kirubo"}
    assert epochs[-1].tokens == 80


def test_units_are_kept_within_the_size_and_within_pieces() -> None:
    pieces = [spoken(8, seed) for seed in range(60)]
    units, _ = learn(pieces, 20)
    assert len(units) <= 20
    assert all(any(unit in piece for piece in pieces) for unit in units)
    assert all(2 <= len(unit) <= 16 for unit in units)
    assert learn(pieces, 20) == learn(pieces, 20)


@pytest.mark.parametrize("text", [*TEXTS, "", "?é"])
def test_its_tokenizer_spells_any_text_and_is_longest_match(learned: Vocabulary, text: str) -> None:
    reading = read(learned, text)
    assert reading.spelled
    assert b"".join(learned.spelled[key] for key in reading.native) == text.encode()
    assert LongestMatch().segment(reading, 0) == [*reading.native]
    assert learned.engine.encode([text]) == [[*reading.native]]
    for (start, stop), key in zip(reading.offsets, reading.native, strict=True):
        assert learned.spelled[key] in text[start:stop].encode()


def test_units_go_beyond_words_unless_told(learned: Vocabulary) -> None:
    def beyond(made: Vocabulary) -> bool:
        return any(b" " in spelled[1:].strip() for spelled in made.spelled.values())

    text = "the old king and the old queen saw the sea; the king said nothing.\n" * 12
    inside = train(text, "lib", 330, words=True, name="x", title="x")
    assert beyond(learned)
    assert not beyond(inside)
    assert pieces_of("the sea", words=True) == [b"the", b" sea"]
    assert inside.digest != learned.digest


def test_the_lab_trains_it_and_says_how_it_learned() -> None:
    text = "the old king and the old queen saw the sea.\n" * 6
    found = tokenizers()
    made = found.train(text, "lib", 300)
    assert (made.title, made.model, len(made.entries) <= 300) == ("LiB 300", "LiB", True)
    assert found.get(made.name) is made
    epochs = found.epochs(made.name)
    assert epochs[0].tokens == len(text)
    assert epochs[-1].tokens < len(text) / 2
    assert found.epochs(found.train(text, "bpe", 300).name) == ()
    with pytest.raises(UserError, match="unpaired surrogate"):
        found.train("a \ud83d b", "lib", 300)
