"""What two texts have in common: against brute force and difflib, and cases worked by hand."""

import difflib
import random
from itertools import pairwise

import numpy as np
import pytest

from tokenarium.backend.comparison import subsequence
from tokenarium.backend.comparison.spans import (
    Span,
    Tokens,
    align,
    counterparts,
    merged,
    tokenizers_agree,
)
from tokenarium.backend.comparison.subsequence import common_subsequence


def tokens(*pieces: str, start: int = 0) -> Tokens:
    """Return pieces as a tokenizer has them whose ids begin with ``start``."""
    stops = np.cumsum([len(piece) for piece in pieces])
    starts = stops - [len(piece) for piece in pieces]
    ids = np.arange(len(pieces)) + start
    return Tokens(ids, pieces, "".join(pieces), np.stack([starts, stops], -1))


def longest(one: list[int], two: list[int]) -> int:
    lengths = [[0] * (len(two) + 1) for _ in range(len(one) + 1)]
    for i, first in enumerate(one):
        for j, second in enumerate(two):
            best = max(lengths[i][j + 1], lengths[i + 1][j])
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if first == second else best
    return lengths[-1][-1]


def test_no_longer_common_subsequence_exists() -> None:
    draw = random.Random(3)
    for _ in range(400):
        one, two = ([draw.randrange(4) for _ in range(draw.randrange(14))] for _ in range(2))
        found = common_subsequence(one, two)
        assert [one[at] for at in found.first] == [two[at] for at in found.second]
        assert (np.diff(found.first) > 0).all()
        assert (np.diff(found.second) > 0).all()
        assert len(found.first) == longest(one, two)


def test_it_has_no_fewer_matches_than_difflib() -> None:
    draw = random.Random(4)
    fewer = 0
    for _ in range(60):
        one, two = ([draw.randrange(9) for _ in range(40)] for _ in range(2))
        blocks = difflib.SequenceMatcher(None, one, two, autojunk=False).get_matching_blocks()
        ours, theirs = len(common_subsequence(one, two).first), sum(block.size for block in blocks)
        assert ours >= theirs
        fewer += ours > theirs
    assert fewer, "difflib matches the longest block first, which is often not best"


def test_what_is_too_long_is_aligned_at_its_ends_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subsequence, "MOST_CELLS", 8)
    found = common_subsequence([1, 2, 3, 4, 5, 6], [1, 9, 3, 8, 6])
    assert (found.first.tolist(), found.second.tolist()) == ([0, 5], [0, 4])
    assert not found.complete
    assert common_subsequence([1, 2, 6], [1, 9, 2, 6]).complete


def test_equal_tokens_of_two_texts_are_aligned_one_by_one() -> None:
    one = Tokens(np.array([7, 1, 2, 3]), ("<s>", "the", " cat", " sat"))
    two = Tokens(np.array([7, 1, 5, 3, 4]), ("<s>", "the", " dog", " sat", "."))
    found = align(one, two)
    assert found.by == "token"
    assert found.spans == tuple(Span((at, at + 1), (at, at + 1)) for at in (0, 1, 3))
    assert (found.first_aligned, found.second_aligned, found.same_text) == (3, 3, False)


def test_one_text_of_two_tokenizers_is_aligned_by_its_characters() -> None:
    one = tokens("an", "other", " cat")
    two = tokens("another", " c", "at", start=90)
    found = align(one, two)
    assert (found.by, found.same_text) == ("character", True)
    assert found.spans == (Span((0, 2), (0, 1)), Span((2, 3), (1, 3)))


def test_two_texts_of_two_tokenizers_are_aligned_where_their_characters_are() -> None:
    one = tokens("It", " is", " an", "other", " cat", "!")
    two = tokens("another", " c", "at", "?", start=90)
    found = align(one, two)
    assert found.spans == (Span((4, 5), (1, 3)),), "' an' begins with a space that is not there"
    assert (found.first_aligned, found.second_aligned) == (1, 2)


def test_no_span_has_a_part_of_a_token() -> None:
    draw = random.Random(5)
    for _ in range(200):
        text = "".join(draw.choices("ab ", k=draw.randrange(1, 20)))
        other = "".join(draw.choices("ab ", k=draw.randrange(1, 20)))
        one, two = tokens(*cut(text, draw)), tokens(*cut(other, draw), start=90)
        for span in align(one, two).spans:
            pieces = ("".join(own.texts[slice(*of)]) for own, of in
                      ((one, span.first), (two, span.second)))  # fmt: skip
            assert len(set(pieces)) == 1


def cut(text: str, draw: random.Random) -> list[str]:
    at = sorted({0, len(text), *(draw.randrange(len(text) + 1) for _ in range(6))})
    return [text[start:stop] for start, stop in pairwise(at)]


def test_a_token_of_no_characters_has_no_counterpart() -> None:
    one = tokens("", "ab")
    assert align(one, tokens("a", "b", start=90)).spans == (Span((1, 2), (0, 2)),)


@pytest.mark.parametrize(
    ("pieces", "ids", "agree"),
    [
        (("a", "c"), (0, 2), True),
        (("a", "b"), (0, 5), False),  # the same text by another id
        (("x", "b"), (0, 1), False),  # the same id for another text
        (("x", "y"), (8, 9), False),  # nothing to go by
    ],
)
def test_tokenizers_agree_where_ids_and_texts_do(
    pieces: tuple[str, ...], ids: tuple[int, ...], agree: bool
) -> None:
    assert tokenizers_agree(tokens("a", "b"), Tokens(np.array(ids), pieces)) is agree


def test_places_are_whole_spans_of_every_text() -> None:
    one = tokens("an", "other", " c", "at")
    wide = align(one, tokens("another", " c", "at", start=90))
    other = align(one, tokens("an", "other", " cat", start=70))
    places = merged([wide, other])
    assert places == [(0, 2), (2, 4)]
    assert counterparts(wide, places) == [(0, 1), (1, 3)]
    assert counterparts(other, places) == [(0, 2), (2, 3)]


def test_a_place_of_which_a_part_has_no_counterpart_has_none() -> None:
    one = tokens("an", "other")
    whole = align(one, tokens("another", start=90))
    part = align(one, Tokens(np.array([0]), ("an",), "an", np.array([[0, 2]])))
    places = merged([whole, part])
    assert places == [(0, 2)]
    assert counterparts(part, places) == [(0, 0)]
