"""What of two tokenized texts belongs together: equal tokens, or tokens of the same characters."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.comparison.subsequence import Matches, common_subsequence

Integers = NDArray[np.integer]


@dataclass(frozen=True)
class Tokens:
    """A text as a tokenizer cut it."""

    ids: Integers
    """[T]."""
    texts: tuple[str, ...]
    """T, each decoded alone."""
    text: str = ""
    """All of it."""
    offsets: Integers | None = None
    """[T, 2] start and stop of each token in ``text``, code points; None where not known."""


@dataclass(frozen=True)
class Span:
    """Tokens of two texts that stand for the same, as places [start, stop) in each."""

    first: tuple[int, int]
    second: tuple[int, int]


@dataclass(frozen=True)
class Alignment:
    """How one text was laid beside another."""

    by: Literal["token", "character"]
    spans: tuple[Span, ...]
    """Ascending in both."""
    first_tokens: int
    """All tokens of the first text."""
    second_tokens: int
    same_text: bool
    complete: bool
    """Whether all that differs was tried; False where it was too long."""

    @property
    def first_aligned(self) -> int:
        """Tokens of the first text that have a counterpart."""
        return sum(span.first[1] - span.first[0] for span in self.spans)

    @property
    def second_aligned(self) -> int:
        """Tokens of the second text that have a counterpart."""
        return sum(span.second[1] - span.second[0] for span in self.spans)


def align(first: Tokens, second: Tokens, *, one_tokenizer: bool = False) -> Alignment:
    """Lay one text beside another.

    Token by token where the tokenizers agree on every token that occurs in both: a longest common
    subsequence of ids. Else by characters: those of one text, or a longest common subsequence of
    those of two; a span is then the shortest run of characters at both whose ends a token of either
    text begins or ends. Of ``an|other| cat`` and ``another| c|at`` the spans are ``another`` and
    ``' cat'``.

    Args:
        first, second: the texts; by characters they need ``text`` and ``offsets``.
        one_tokenizer: whether the same one cut both, so that nothing has to be compared.
    """
    same = first.text == second.text if first.text else tuple(first.texts) == tuple(second.texts)
    placed = first.offsets is not None and second.offsets is not None
    if one_tokenizer or not placed or tokenizers_agree(first, second):
        found = common_subsequence(first.ids, second.ids)
        spans = tuple(
            Span((at, at + 1), (to, to + 1))
            for at, to in zip(found.first.tolist(), found.second.tolist(), strict=True)
        )
        by: Literal["token", "character"] = "token"
    else:
        found = _characters(first.text, second.text)
        spans = tuple(_by_characters(first, second, found))
        by = "character"
    lengths = len(first.ids), len(second.ids)
    return Alignment(by, spans, *lengths, same, found.complete)


def tokenizers_agree(first: Tokens, second: Tokens) -> bool:
    """Return whether ids and texts that occur in both texts stand for each other in both."""
    one, two = (
        {(int(i), text) for i, text in zip(tokens.ids, tokens.texts, strict=True)}
        for tokens in (first, second)
    )
    shared = one & two
    ids, texts = ({pair[place] for pair in one} & {pair[place] for pair in two} for place in (0, 1))
    return bool(shared) and len(ids) == len(texts) == len(shared)


def merged(alignments: Sequence[Alignment]) -> list[tuple[int, int]]:
    """Return the tokens of the first text, [start, stop) each, at which other texts are compared.

    Spans of several texts that overlap in the first one become one; tokens that have no counterpart
    in any text are left out.

    Args:
        alignments: of the first text with each other one.
    """
    spans = sorted({span.first for each in alignments for span in each.spans})
    found: list[tuple[int, int]] = []
    for start, stop in spans:
        if found and start < found[-1][1]:
            found[-1] = found[-1][0], max(stop, found[-1][1])
        else:
            found.append((start, stop))
    return found


def counterparts(alignment: Alignment, places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the tokens of the second text at each place of ``merged``, or (0, 0) for none.

    There are none where a part of the place has no counterpart.
    """
    found = []
    spans = iter(alignment.spans)
    span = next(spans, None)
    for start, stop in places:
        covered, tokens = 0, (0, 0)
        while span is not None and span.first[0] < stop:
            tokens = (tokens[0] if covered else span.second[0], span.second[1])
            covered += span.first[1] - span.first[0]
            span = next(spans, None)
        found.append(tokens if covered == stop - start else (0, 0))
    return found


def _characters(first: str, second: str) -> Matches:
    one, two = (np.fromiter(map(ord, text), np.int64, len(text)) for text in (first, second))
    return common_subsequence(one, two)


def _by_characters(first: Tokens, second: Tokens, found: Matches) -> list[Span]:
    """Return the spans of every run of characters that both texts have."""
    spans = []
    breaks = np.flatnonzero((np.diff(found.first) != 1) | (np.diff(found.second) != 1)) + 1
    for start, stop in pairwise((0, *breaks.tolist(), len(found.first))):
        if stop == start:
            continue
        here, there = int(found.first[start]), int(found.second[start])
        length = stop - start
        ends = _ends(first, here, length) & _ends(second, there, length)
        for low, high in pairwise(sorted(ends)):
            one = _within(first, here + low, here + high)
            two = _within(second, there + low, there + high)
            if one and two:
                spans.append(Span(one, two))
    return spans


def _ends(tokens: Tokens, start: int, length: int) -> set[int]:
    """Return where tokens begin or end in a run of characters, counted from its start."""
    assert tokens.offsets is not None
    ends = np.unique(tokens.offsets) - start
    return set(ends[(ends >= 0) & (ends <= length)].tolist())


def _within(tokens: Tokens, start: int, stop: int) -> tuple[int, int] | None:
    """Return the tokens of the characters [start, stop), as places [start, stop)."""
    assert tokens.offsets is not None
    low, high = tokens.offsets.T
    inside = np.flatnonzero((low >= start) & (high <= stop) & (high > low))
    return (int(inside[0]), int(inside[-1]) + 1) if len(inside) else None
