"""Classes of tokens, and how much attention each class holds.

first: position 0. special: any other token that the tokenizer or a template added. punctuation: a
token without a letter or digit (white space and line breaks included). function word: a word whose
type is among the most frequent types of the text that together make up 40 % of its tokens, and
occurs twice or more. rare: a word whose type occurs once; only in texts of 512 tokens and more, for
in a short text most words do. content: every other word. A word is any token with a letter or
digit, pieces of words included; its type is its text in lower case without blanks around it.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.trace.result import TraceResult

CLASSES = ("first", "special", "punctuation", "function word", "content", "rare")
FUNCTION_SHARE = 0.4
RARE_FROM_TOKENS = 512
RESAMPLES = 500
LEAST_FOR_INTERVAL = 10

Codes = NDArray[np.int8]
_FIRST, _SPECIAL, _PUNCTUATION, _FUNCTION, _CONTENT, _RARE = range(len(CLASSES))


def token_classes(result: TraceResult) -> Codes:
    """Return [T]: the class of each token, as an index into ``CLASSES``."""
    types = [text.strip().lower() for text in result.token_text]
    written = [
        kind for kind, added in zip(types, result.special.tolist(), strict=True) if not added
    ]
    counts = Counter(written)
    function = _function_types(counts, len(written))
    long = result.length >= RARE_FROM_TOKENS
    of_type = {kind: _class_of(kind, counts[kind], function, long) for kind in set(types)}
    codes = np.array([of_type[kind] for kind in types], np.int8)
    codes[result.special] = _SPECIAL
    codes[:1] = _FIRST
    return codes


@dataclass(frozen=True)
class ClassMass:
    """How much attention the tokens of one class hold."""

    name: str
    count: int
    """Tokens of the class."""
    token_share: float
    """Their share of all tokens."""
    mass_share: float
    """Their share of all attention mass."""
    times_noise: float
    """Their mass over the mass that uniform attention gives to the same positions."""
    low: float
    """Lower end of the 95 % confidence interval of ``times_noise``; NaN below 10 tokens."""
    high: float
    """Upper end of it."""


def mass_by_class(
    mass: NDArray[np.floating], noise: NDArray[np.floating], codes: Codes
) -> tuple[ClassMass, ...]:
    """Return the attention held by each class that occurs, in the order of ``CLASSES``.

    The interval is the percentile bootstrap over the tokens of a class (500 resamples, fixed
    seed). It treats tokens as independent draws, and speaks of this text alone.

    Args:
        mass: [T], accumulated attention; a sum, so that each query counts once.
        noise: [T], the same statistic on uniform attention.
        codes: [T], from ``token_classes``.
    """
    known = np.isfinite(mass) & np.isfinite(noise)
    random = np.random.default_rng(0)
    found = []
    for code, name in enumerate(CLASSES):
        here = known & (codes == code)
        if not here.any():
            continue
        held, chance = mass[here].astype(np.float64), noise[here].astype(np.float64)
        low, high = _interval(held, chance, random)
        found.append(
            ClassMass(
                name=name,
                count=int(here.sum()),
                token_share=float(here.sum() / known.sum()),
                mass_share=float(held.sum() / mass[known].sum(dtype=np.float64)),
                times_noise=float(held.sum() / chance.sum()),
                low=low,
                high=high,
            )
        )
    return tuple(found)


def _function_types(counts: Counter[str], tokens: int) -> set[str]:
    chosen, covered = set(), 0
    for kind, count in counts.most_common():
        if covered >= FUNCTION_SHARE * tokens or count < 2:
            break
        chosen.add(kind)
        covered += count
    return chosen


def _class_of(kind: str, count: int, function: set[str], long: bool) -> int:
    if not any(map(str.isalnum, kind)):
        return _PUNCTUATION
    if kind in function:
        return _FUNCTION
    return _RARE if long and count == 1 else _CONTENT


def _interval(
    held: NDArray[np.float64], chance: NDArray[np.float64], random: np.random.Generator
) -> tuple[float, float]:
    size = len(held)
    if size < LEAST_FOR_INTERVAL:
        return float("nan"), float("nan")
    ratios = np.empty(RESAMPLES)
    for n in range(RESAMPLES):
        drawn = random.integers(0, size, size, dtype=np.int32)
        ratios[n] = held[drawn].sum() / chance[drawn].sum()
    low, high = np.percentile(ratios, (2.5, 97.5))
    return float(low), float(high)
