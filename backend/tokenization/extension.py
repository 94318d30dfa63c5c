"""A tokenizer with more merges, trained on another language on top of its own.

Paper: Larcher et al., 2023, arXiv:2308.11878 (Cabrita, the half that is the vocabulary). A variant:
they train a tokenizer of Portuguese alone and add its pieces; here merges are counted on the tokens
that the old tokenizer gives, so that each of them is reached.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise

import numpy as np

from tokenarium.backend.settings import PROJECT
from tokenarium.backend.tokenization.bpe import merged, merged_places, refuse_without_merges
from tokenarium.backend.tokenization.engine import Read
from tokenarium.backend.tokenization.languages import Parallel
from tokenarium.backend.tokenization.noise import Ratio, ratio
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.vocabulary import Merge, Vocabulary
from tokenarium.backend.tokenization.word_groups import Pieces, word_groups

LEAST_COUNT = 2
"""Times that a pair stands in the text, or it is not merged."""
_FILE = PROJECT / "assets" / "tokens" / "portuguese.txt"
Pair = tuple[int, int]
Merges = dict[Pair, Merge]


@dataclass(frozen=True)
class ExtendedLanguage:
    """The shipped paragraph in one language, under the old and the extended tokenizer."""

    text: Parallel
    before: int
    after: int
    """Tokens of the eight sentences."""
    ratio: Ratio
    """Tokens after / before, by drawing sentences anew."""


@dataclass(frozen=True)
class Extension:
    """A tokenizer with new merges, and what they save in each language."""

    name: str
    title: str
    trained_bytes: int
    pieces: tuple[str, ...]
    """What the new tokens spell, the first merged first."""
    languages: tuple[ExtendedLanguage, ...]


def portuguese_text() -> str:
    """Return the text in Portuguese that is shipped; nothing of the shipped paragraph is in it."""
    return _FILE.read_text(encoding="utf-8")


def trained_merges(
    vocabulary: Vocabulary, text: str, count: int, check: Callable[[], None] = lambda: None
) -> list[Pair]:
    """Return pairs of tokens, the first merged first, by byte-pair encoding on the old tokens.

    New tokens have the ids after the last old one, in order. A pair whose bytes are a token already
    is not merged. Of pairs that stand as often, the first in order of their bytes is merged first.

    Args:
        vocabulary: of byte-pair encoding.
        text: that it spells.
        count: merges at most; fewer where no pair stands twice.
        check: called before each merge; what it raises ends the training.

    Raises:
        ValueError: if the tokenizer has no merges, or changes the text.
    """
    refuse_without_merges(vocabulary, "more merges")
    reading = read(vocabulary, text)
    if not reading.spelled:
        raise ValueError(
            f"more merges need tokens that spell the text, and {vocabulary.title} changes it "
            "first: choose another tokenizer"
        )
    often = Counter(word_groups(reading))
    words, times = [list(word) for word in often], list(often.values())
    spelled = dict(vocabulary.spelled)
    unfit = {*vocabulary.added, *(k for k in vocabulary.entries if _is_escaped(vocabulary, k))}
    taken = {*spelled.values()}
    pairs: Counter[Pair] = Counter()
    where: dict[Pair, set[int]] = defaultdict(set)
    waiting: list[tuple[int, bytes, Pair]] = []

    def note(number: int, sign: int) -> set[Pair]:
        for pair in pairwise(words[number]):
            pairs[pair] += sign * times[number]
            where[pair].add(number)
        return {*pairwise(words[number])}

    def wait(changed: set[Pair]) -> None:
        for pair in changed:
            if pairs[pair] >= LEAST_COUNT and unfit.isdisjoint(pair):
                heapq.heappush(waiting, (-pairs[pair], spelled[pair[0]] + spelled[pair[1]], pair))

    wait({pair for number in range(len(words)) for pair in note(number, 1)})
    found: list[Pair] = []
    while waiting and len(found) < count:
        times_in, whole, best = heapq.heappop(waiting)
        if -times_in != pairs[best] or whole in taken:
            continue
        check()
        key = max(spelled) + 1
        spelled[key] = whole
        taken.add(whole)
        found.append(best)
        changed: set[Pair] = set()
        for number in where.pop(best):
            changed |= note(number, -1)
            words[number] = merged(words[number], {best: Merge(0, key)})
            changed |= note(number, 1)
        wait(changed)
    return found


def extended(vocabulary: Vocabulary, pairs: Sequence[Pair], name: str, title: str) -> Vocabulary:
    """Return a vocabulary with the tokens of more merges, which are done after all of its own.

    Args:
        vocabulary: of byte-pair encoding.
        pairs: of ``trained_merges``.
        name: of the new vocabulary.
        title: for people.
    """
    entries, ranks = dict(vocabulary.entries), len(vocabulary.merge_list)
    first = max(vocabulary.spelled) + 1
    listed, merges = list(vocabulary.merge_list), {}
    for number, (left, right) in enumerate(pairs):
        listed.append((entries[left], entries[right]))
        entries[first + number] = entries[left] + entries[right]
        merges[left, right] = Merge(ranks + number, first + number)
    return replace(
        vocabulary,
        name=name,
        title=title,
        digest=sha256(f"{vocabulary.digest} {pairs}".encode()).hexdigest(),
        engine=ExtendedEngine(vocabulary, merges),
        entries=entries,
        merge_list=tuple(listed),
    )


def regrouped(
    words: Sequence[Pieces], vocabulary: Vocabulary, pairs: Sequence[Pair]
) -> list[Pieces]:
    """Return the old tokens of each token of an extended vocabulary, one after another.

    Args:
        words: old tokens of each word.
        vocabulary: the old one.
        pairs: of ``trained_merges``.
    """
    first, ranks = max(vocabulary.spelled) + 1, enumerate(pairs)
    merges = {pair: Merge(rank, first + rank) for rank, pair in ranks}
    found = []
    for word in words:
        starts = [*merged_places(word, merges), len(word)]
        found += [word[a:b] for a, b in pairwise(starts)]
    return found


def extension(
    old: Vocabulary,
    new: Vocabulary,
    texts: Sequence[Parallel],
    size: int,
    check: Callable[[], None] = lambda: None,
) -> Extension:
    """Return what an extended tokenizer saves.

    Args:
        old: the vocabulary before.
        new: the extended one.
        texts: the same sentences in several languages.
        size: bytes that the merges were trained on.
        check: called before each language; what it raises ends the computation.
    """
    rows = []
    for text in texts:
        check()
        before, after = (
            np.array([len(ids) for ids in each.engine.encode(list(text.sentences))], np.int64)
            for each in (old, new)
        )
        rows.append(
            ExtendedLanguage(text, int(before.sum()), int(after.sum()), ratio(after, before))
        )
    fresh = [new.spelled[key] for key in new.entries if key not in old.entries]
    pieces = tuple(each.decode("utf-8", "tokenarium_hexadecimal") for each in fresh)
    return Extension(new.name, new.title, size, pieces, tuple(rows))


class ExtendedEngine:
    """What reads a text with a tokenizer and does more merges on its tokens; an ``Engine``.

    Args:
        base: the old vocabulary.
        merges: of pairs of tokens.
    """

    def __init__(self, base: Vocabulary, merges: Merges) -> None:
        self._base, self._merges = base, merges

    def read(self, text: str) -> Read:
        """Return ids and pre-tokens of a text."""
        found = self._base.engine.read(text)
        reading = read(self._base, text)
        if not reading.spelled:  # tokens that do not spell the text have no words
            return found
        ids: list[int] = []
        offsets: list[Pair] = []
        place = 0
        for word in word_groups(reading):
            tokens = merged_places(word, self._merges)
            stops = [*tokens, len(word)][1:]
            for (start, key), stop in zip(tokens.items(), stops, strict=True):
                first, last = (reading.offsets[place + at] for at in (start, stop - 1))
                ids.append(key)
                offsets.append((first[0], last[1]))
            place += len(word)
        return Read(ids, offsets, found.pieces)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of each text."""
        return [self.read(text).ids for text in texts]


def _is_escaped(vocabulary: Vocabulary, key: int) -> bool:
    """Return whether an entry writes a byte by its number, which no longer entry can contain."""
    return vocabulary.spelling == "sentencepiece" and vocabulary.is_fallback(key)
