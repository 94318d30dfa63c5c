"""A tokenizer that is trained on a domain against a general one, on equal bytes.

Paper: Bommarito et al., 2025, arXiv:2503.17247 (KL3M: tokenizers for law and finance, and
character-level ones for the correction of errors).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.tokenization.noise import (
    Noise,
    Ratio,
    Stability,
    blocks,
    ratio,
    stability,
)
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.vocabulary import Vocabulary

HELD_OUT = 0.2
"""Share of a text, its end, that is counted and not trained on."""
LEAST_BYTES = 4_000
"""Of each text."""
MOST_WORDS = 12


@dataclass(frozen=True)
class DomainWord:
    """A word of the held-out text of the domain."""

    text: str
    occurrences: int
    domain_tokens: int
    general_tokens: int


@dataclass(frozen=True)
class DomainComparison:
    """A domain against general text: T tokenizers, the first two of them trained on equal bytes."""

    names: tuple[str, str]
    """Of the domain, and of the general text."""
    trained_bytes: int
    """Of each."""
    held_out_bytes: tuple[int, int]
    tokenizers: tuple[str, ...]
    """[T] names: of the domain, general, character-level, then others."""
    titles: tuple[str, ...]
    """[T] for people."""
    tokens_per_byte: tuple[tuple[Ratio, Ratio], ...]
    """[T, 2] of the held-out text of the domain, and of the general one."""
    ratios: tuple[Ratio, Ratio]
    """Tokens under the domain's tokenizer / under the general one, of each held-out text."""
    words: tuple[DomainWord, ...]
    """On which the domain's tokenizer saves most tokens."""
    noise: tuple[Stability, ...]
    """[T] of the held-out text of the domain."""


def split(text: str) -> tuple[str, str]:
    """Return what is trained on, and the last fifth, which is held out; no line is cut."""
    every = blocks(text)
    first = max(1, round(len(every) * (1 - HELD_OUT)))
    return "".join(every[:first]), "".join(every[first:])


def equal_bytes(texts: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the parts to train on, as many bytes of each, and those that are held out.

    Raises:
        ValueError: if there are not two texts, or one is too short.
    """
    if len(texts) != 2:
        raise ValueError(f"{len(texts)} texts are given: give two, the domain's and a general one")
    for name, text in texts.items():
        if (size := len(text.encode())) < LEAST_BYTES:
            raise ValueError(f"the text {name[:40]!r} has {size:,} bytes: give {LEAST_BYTES:,}")
    parts = {name: split(text) for name, text in texts.items()}
    size = min(len(trained.encode()) for trained, _ in parts.values())
    trained = {n: part.encode()[:size].decode("utf-8", "ignore") for n, (part, _) in parts.items()}
    return trained, {name: held_out for name, (_, held_out) in parts.items()}


def compared(
    vocabularies: Sequence[Vocabulary],
    trained_bytes: int,
    held_out: Mapping[str, str],
    noise: Noise,
    share: float,
    check: Callable[[], None] = lambda: None,
) -> DomainComparison:
    """Return the comparison.

    Args:
        vocabularies: of the domain, general, character-level, then others.
        trained_bytes: of each of the two.
        held_out: texts by name, the domain's first.
        noise: ``ocr`` or ``typed``.
        share: chance of an error at each place that can have one.
        check: called before each block of lines; what it raises ends the computation.
    """
    first, second = held_out
    parts = [blocks(text) for text in held_out.values()]
    sizes = [np.array([len(block.encode()) for block in each]) for each in parts]
    tokens: list[list[NDArray[np.int64]]] = []
    stable = []
    for vocabulary in vocabularies:
        check()
        tokens.append([_tokens(vocabulary, each) for each in parts])
        stable.append(stability(vocabulary, held_out[first], noise, share, check=check))
    domain, general, *_ = tokens
    return DomainComparison(
        names=(first, second),
        trained_bytes=trained_bytes,
        held_out_bytes=(int(sizes[0].sum()), int(sizes[1].sum())),
        tokenizers=tuple(each.name for each in vocabularies),
        titles=tuple(each.title for each in vocabularies),
        tokens_per_byte=tuple(
            (ratio(each[0], sizes[0]), ratio(each[1], sizes[1])) for each in tokens
        ),
        ratios=(ratio(domain[0], general[0]), ratio(domain[1], general[1])),
        words=_words(vocabularies[0], vocabularies[1], held_out[first]),
        noise=tuple(stable),
    )


def _tokens(vocabulary: Vocabulary, texts: Sequence[str]) -> NDArray[np.int64]:
    return np.array([len(ids) for ids in vocabulary.engine.encode(list(texts))], np.int64)


def _words(domain: Vocabulary, general: Vocabulary, text: str) -> tuple[DomainWord, ...]:
    """Return the pre-tokens on which most tokens are saved, each cut alone as in the text."""
    often = Counter(read(domain, text).pieces)
    texts = {piece: piece.decode("utf-8", "replace") for piece in often}
    counts = [_tokens(each, [*texts.values()]) for each in (domain, general)]
    found = [
        DomainWord(texts[piece], often[piece], int(mine), int(theirs))
        for piece, mine, theirs in zip(texts, *counts, strict=True)
        if texts[piece].strip() and mine < theirs
    ]
    found.sort(key=lambda word: -word.occurrences * (word.general_tokens - word.domain_tokens))
    return tuple(found[:MOST_WORDS])
