"""How often each pair of neighbouring tokens stands in a set of texts, merge by merge."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]
Floats = NDArray[np.float64]
_FIRST_ROOM = 1_024


class PairCounts:
    """Counts of pairs inside of words, kept up to date while pairs are merged.

    ``abab`` twice has the pair ``a b`` four times and ``b a`` twice; after ``a b`` became ``ab`` it
    has ``ab ab`` twice.

    Args:
        words: tokens of each of W words.
        weights: [W, R, n] how often each word counts, in R draws of n texts.
    """

    def __init__(self, words: Sequence[Sequence[int]], weights: Floats) -> None:
        self._words = [tuple(word) for word in words]
        self._weights = weights
        self._number: dict[Pair, int] = {}
        self.pairs: list[Pair] = []
        """Pairs by their number."""
        self._where: list[set[int]] = []
        self._room = np.zeros((_FIRST_ROOM, *weights.shape[1:]))
        for place, word in enumerate(self._words):
            self._add(place, word, 1)

    @property
    def counts(self) -> Floats:
        """[pairs, R, n] of each pair by its number."""
        return self._room[: len(self.pairs)]

    def of(self, pair: Pair) -> Floats:
        """Return [R, n] of one pair."""
        number = self._number.get(pair)
        return np.zeros(self._weights.shape[1:]) if number is None else self._room[number]

    def merge(self, pair: Pair, token: int) -> None:
        """Put a token in the place of a pair, from left to right in every word."""
        number = self._number.get(pair)
        if number is None:
            return
        for place in sorted(self._where[number]):
            word = self._words[place]
            self._add(place, word, -1)
            self._words[place] = merged_once(word, pair, token)
            self._add(place, self._words[place], 1)
        self._room[number] = 0  # rounding aside, it stands nowhere any more

    def _add(self, place: int, word: Sequence[int], sign: int) -> None:
        for pair in pairwise(word):
            number = self._number.setdefault(pair, len(self.pairs))
            if number == len(self.pairs):
                self.pairs.append(pair)
                self._where.append(set())
                if number == len(self._room):
                    self._room = np.concatenate([self._room, np.zeros_like(self._room)])
            self._room[number] += sign * self._weights[place]
            if sign > 0:
                self._where[number].add(place)
            else:
                self._where[number].discard(place)


def merged_once(word: Sequence[int], pair: Pair, token: int) -> tuple[int, ...]:
    """Return a word with a token in the place of every such pair; ``a a a`` becomes ``aa a``."""
    found, at = [], 0
    while at < len(word):
        if tuple(word[at : at + 2]) == pair:
            found.append(token)
            at += 2
        else:
            found.append(word[at])
            at += 1
    return tuple(found)


def weights_of(
    units: Sequence[Sequence[Mapping[int, int]]], words: int, drawn: int, seed: int
) -> Floats:
    """Return [words, 1 + drawn, n] how often each word stands in each text and in draws of it.

    Args:
        units: of each of n texts its sentences, as numbers of words with how often they stand.
        words: how many there are.
        drawn: draws of as many sentences as the text has, with replacement.
        seed: of the draws.
    """
    draw = np.random.default_rng(seed)
    found = np.zeros((words, 1 + drawn, len(units)))
    for text, sentences in enumerate(units):
        count = len(sentences)
        times = draw.multinomial(count, np.full(count, 1 / count), size=drawn)
        every = np.concatenate([np.ones((1, count)), times])
        for sentence, counted in enumerate(sentences):
            for word, number in counted.items():
                found[word, :, text] += number * every[:, sentence]
    return found
