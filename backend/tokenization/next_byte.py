"""Which byte comes next, from a model of tokens: the byte-token representation lemma.

Paper: Phan et al., 2024, arXiv:2410.09303. A cover of the bytes x is a canonical segmentation whose
last token reaches to their end or beyond, and whose others end before it. The probability of x is
the sum over its covers, P(x) = sum of P(t_1 .. t_k), and P(next byte b | x) = P(x b) / P(x). The
next token alone is another question where x ends inside of a word that the tokenizer would have
written as one token.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = tuple[int, ...]


class Canonical(Protocol):
    """How a tokenizer cuts bytes."""

    def left(self, prefix: bytes) -> Ids:
        """Return the canonical tokens of a prefix."""

    def follows(self, left: Ids, prefix: bytes, tokens: Sequence[int]) -> Sequence[bool]:
        """Return for each token whether the canonical tokens of ``prefix`` and it are canonical."""


@dataclass(frozen=True)
class Context:
    """What the model says after the canonical tokens of the first bytes of the prefix."""

    log_p: float
    """ln P of the tokens themselves."""
    next_log_p: Floats
    """[V] ln P of each token after them."""


@dataclass(frozen=True)
class Cut:
    """Covers whose last token begins at one place."""

    start: int
    """Byte of the prefix where that token begins."""
    tokens: int
    """How many tokens begin there and reach beyond the prefix."""
    share: float
    """Of the probability of all covers."""


@dataclass(frozen=True)
class NextByte:
    """The next byte after a prefix."""

    exact: Floats
    """[256] by the lemma; sums to 1."""
    naive: Floats
    """[256] of the next token's first byte; sums to 1."""
    leaked: float
    """Share of the covers' probability that the model gives to segmentations its tokenizer never
    makes, and that is left out."""
    cuts: tuple[Cut, ...]
    log_p: float
    """ln of the probability of all covers that reach beyond the prefix: ln P(prefix), less the
    probability that the text ends there."""


def next_byte(
    prefix: bytes,
    spelled: Mapping[int, bytes],
    canonical: Canonical,
    model: Callable[[Ids], Context],
) -> NextByte:
    """Return the probability of each byte after a prefix, exactly and naively.

    Args:
        prefix: n bytes.
        spelled: bytes of each token that text is made of.
        canonical: the tokenizer.
        model: what the model says after tokens; called once for each place where a token that
            reaches beyond the prefix can begin.
    """
    parts, naive = [], np.zeros(256)
    for start, tokens in _reaching(prefix, spelled):
        head, rest = prefix[:start], prefix[start:]
        left = canonical.left(head)
        said = model(left)
        log_p = said.log_p + said.next_log_p[tokens]
        bytes_ = np.array([spelled[key][len(rest)] for key in tokens])
        valid = np.asarray(canonical.follows(left, head, tokens), np.bool_)
        parts.append((start, bytes_, log_p, valid))
        if start == len(prefix):
            np.add.at(naive, bytes_, np.exp(said.next_log_p[tokens]))
    top = max(float(log_p.max()) for _, _, log_p, _ in parts)
    exact, cuts, all_of_them = np.zeros(256), [], 0.0
    for start, bytes_, log_p, valid in parts:
        p = np.exp(log_p - top)
        all_of_them += float(p.sum())
        np.add.at(exact, bytes_[valid], p[valid])
        cuts.append((start, int(valid.sum()), float(p[valid].sum())))
    total = float(exact.sum())
    return NextByte(
        exact=exact / total,
        naive=naive / naive.sum(),
        leaked=1 - total / all_of_them,
        cuts=tuple(Cut(start, count, share / total) for start, count, share in cuts),
        log_p=top + float(np.log(total)),
    )


def _reaching(prefix: bytes, spelled: Mapping[int, bytes]) -> Iterator[tuple[int, list[int]]]:
    """Yield where a last token can begin, and all tokens that begin so and reach beyond."""
    by_start: dict[int, list[int]] = {}
    for key, token in spelled.items():
        for size in range(min(len(token) - 1, len(prefix)) + 1) if token else ():
            if prefix.endswith(token[:size]):
                by_start.setdefault(len(prefix) - size, []).append(key)
    yield from sorted(by_start.items(), reverse=True)
