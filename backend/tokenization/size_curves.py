"""How many tokens the same text takes in each language while the vocabulary grows.

Papers: Petrov et al., 2023, arXiv:2305.15425 (premium); Arnett et al., 2025, arXiv:2510.21909 (a
tokenizer for each language, trained on equal bytes).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.tokenization.bpe import refuse_without_merges, steps
from tokenarium.backend.tokenization.languages import Parallel, Premium, premiums
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.training import sizes_of, train
from tokenarium.backend.tokenization.vocabulary import Merge, Vocabulary

POINTS = 9
LEAST_BYTES = 2_000
"""Of a text to train on: less gives hardly more than its own words."""


@dataclass(frozen=True)
class SizeCurve:
    """One language at K sizes of the vocabulary."""

    text: Parallel
    entries: tuple[int, ...]
    """[K] of the vocabulary, ascending."""
    premiums: tuple[Premium, ...]
    """[K] tokens, premium and its interval; no tokens where the tokenizer leaves characters out."""

    def entries_for(self, tokens: int) -> float:
        """Return the entries at which the text takes so few tokens, NaN where no size does.

        Between two sizes both logarithms are taken as a line.
        """
        found = [each.tokens for each in self.premiums]
        for at, count in enumerate(found):
            if 0 < count <= tokens:
                if not at or found[at - 1] == count:
                    return float(self.entries[at])
                part = np.log(found[at - 1] / tokens) / np.log(found[at - 1] / count)
                ends = np.log([self.entries[at - 1], self.entries[at]])
                return float(np.exp(ends[0] + part * (ends[1] - ends[0])))
        return float("nan")


def cut_off(
    vocabulary: Vocabulary,
    texts: Sequence[Parallel],
    against: int,
    check: Callable[[], None] = lambda: None,
) -> tuple[SizeCurve, ...]:
    """Return the curves of one tokenizer whose list of merges is cut off ever later.

    What is left after k merges is what training would have given with so many entries fewer.

    Args:
        vocabulary: of byte-pair encoding.
        texts: the same sentences in several languages.
        against: number of the language that stands for 1.
        check: called before each sentence; what it raises ends the computation.

    Raises:
        ValueError: if the tokenizer has no merges.
    """
    refuse_without_merges(vocabulary, "a vocabulary cut off after some merges")
    sizes = sizes_of(len(vocabulary.merge_list), POINTS)
    tokens = np.array([tokens_at(vocabulary, text, sizes, check) for text in texts])
    ranks = np.sort([merge.rank for merge in vocabulary.merges.values()])
    base = len(vocabulary.entries) - len(vocabulary.merges)
    entries = tuple(base + int(np.searchsorted(ranks, size)) for size in sizes)
    return _curves(texts, entries, tokens, against)


def trained(
    samples: Mapping[str, str],
    texts: Sequence[Parallel],
    against: str,
    size: int,
    *,
    words: bool,
    check: Callable[[], None] = lambda: None,
    seconds: float | None = None,
) -> tuple[SizeCurve, ...]:
    """Return the curves of a BPE tokenizer for each language, trained on equal bytes of its own.

    A curve ends where its tokenizer has nothing more to merge, or that of ``against`` has.

    Args:
        samples: texts to train on by code of the language; as many bytes of each are read as the
            shortest has.
        texts: the same sentences in these languages, which are counted.
        against: code of the language that stands for 1.
        size: entries at most.
        words: whether no token goes beyond a word.
        check: called before each training and sentence; what it raises ends the computation.
        seconds: of each training, as of ``train``.

    Raises:
        ValueError: if a language is unknown, a sample too short, or a number out of range.
    """
    known = {text.code: text for text in texts}
    for code in (*samples, against):
        if code not in known:
            raise ValueError(f"language={code[:40]!r} is none of them: {', '.join(known)}")
    if against not in samples or len(samples) < 2:
        raise ValueError(
            f"a text in {known[against].name} and in another language are needed: add what is "
            "missing"
        )
    equal = min(len(text.encode()) for text in samples.values())
    if equal < LEAST_BYTES:
        short = min(samples, key=lambda code: len(samples[code].encode()))
        raise ValueError(
            f"the text in {known[short].name} has {equal:,} bytes: give at least {LEAST_BYTES:,}"
        )
    made: dict[str, Vocabulary] = {}
    for code, text in samples.items():
        check()
        read_of = text.encode()[:equal].decode("utf-8", "ignore")
        title = known[code].name
        made[code] = train(
            read_of, "bpe", size, words=words, name=code, title=title, seconds=seconds
        )
    sizes = sizes_of(len(made[against].merge_list), POINTS)
    chosen = [known[code] for code in samples]
    tokens = np.array([tokens_at(made[text.code], text, sizes, check) for text in chosen])
    base = len(made[against].entries) - len(made[against].merges)
    entries = tuple(base + size for size in sizes)
    whole = _curves(chosen, entries, tokens, [*samples].index(against))
    ends = [sum(size <= len(made[c.text.code].merge_list) for size in sizes) for c in whole]
    return tuple(
        SizeCurve(curve.text, curve.entries[:end], curve.premiums[:end])
        for curve, end in zip(whole, ends, strict=True)
    )


def tokens_at(
    vocabulary: Vocabulary,
    text: Parallel,
    sizes: Sequence[int],
    check: Callable[[], None] = lambda: None,
) -> NDArray[np.int64]:
    """Return [sentences, sizes] tokens of each sentence after so many merges of the list.

    0 for all of a text that the vocabulary does not spell. Each sentence is merged once: BPE does
    its merges in order, so that a shorter list stops where the first rank is beyond it.
    """
    found = np.zeros((len(text.sentences), len(sizes)), np.int64)
    for row, sentence in enumerate(text.sentences):
        check()
        reading = read(vocabulary, sentence)
        if not reading.spelled:
            return np.zeros_like(found)
        for piece in reading.pieces:
            symbols = vocabulary.symbols(piece)
            done = list(accumulate(merge_ranks(symbols, vocabulary.merges), max))
            found[row] += len(symbols) - np.searchsorted(done, sizes)
    return found


def merge_ranks(symbols: Sequence[int], merges: dict[tuple[int, int], Merge]) -> list[int]:
    """Return the rank of each merge that BPE does, in the order in which it does them."""
    ranks, before = [], list(symbols)
    for tokens in steps(symbols, merges):
        if len(tokens) < len(before):
            at = next(n for n, key in enumerate(before) if n >= len(tokens) or key != tokens[n])
            ranks.append(merges[before[at], before[at + 1]].rank)
        before = tokens
    return ranks


def _curves(
    texts: Sequence[Parallel], entries: tuple[int, ...], tokens: NDArray[np.int64], against: int
) -> tuple[SizeCurve, ...]:
    """Return curves of tokens [languages, sentences, K]."""
    by_size = [premiums(tokens[:, :, k], against) for k in range(len(entries))]
    return tuple(
        SizeCurve(text, entries, tuple(each[number] for each in by_size))
        for number, text in enumerate(texts)
    )
