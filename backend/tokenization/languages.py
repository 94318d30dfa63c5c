"""What the same text costs in other languages: tokens, premium, and what follows from it.

Paper: Petrov et al., 2023, arXiv:2305.15425 (premium: tokens of a language against those of another
on parallel text); Ahia et al., 2023, arXiv:2305.13707 (price).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.settings import PROJECT
from tokenarium.backend.tokenization.vocabulary import Vocabulary

_FILE = PROJECT / "assets" / "tokens" / "parallel.json"
DRAWS = 2_000
LEAST_KEPT = 0.9
"""Share of the bytes of a language that its tokens must spell."""
_SEED = 0


@dataclass(frozen=True)
class Parallel:
    """The same sentences in one language."""

    code: str
    name: str
    script: str
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """All sentences, one after another."""
        return " ".join(self.sentences)


@dataclass(frozen=True)
class Premium:
    """How many times as many tokens a language takes as another."""

    tokens: int
    value: float
    low: float
    high: float
    """Ends of the interval of 95 %, by drawing sentences anew."""


@cache
def parallel_text() -> tuple[Parallel, ...]:
    """Return the paragraph that is shipped, by language; English first."""
    content = json.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(
        Parallel(each["code"], each["name"], each["script"], tuple(each["sentences"]))
        for each in content["languages"]
    )


def counts(vocabulary: Vocabulary, texts: Sequence[Parallel]) -> NDArray[np.int64]:
    """Return [languages, sentences] tokens of each sentence alone, none added.

    0 for all of a language whose characters the tokenizer leaves out: fewer tokens are no saving.
    """
    every = [sentence for text in texts for sentence in text.sentences]
    cut = vocabulary.engine.encode(every)
    found = np.array([len(ids) for ids in cut], np.int64).reshape(len(texts), -1)
    spelled = [sum(len(vocabulary.spelled.get(key, b"")) for key in ids) for ids in cut]
    kept = np.array(spelled).reshape(len(texts), -1).sum(1)
    sizes = np.array([len("".join(text.sentences).encode()) for text in texts])
    found[kept < LEAST_KEPT * sizes] = 0
    return found


def premiums(tokens: NDArray[np.int64], against: int) -> tuple[Premium, ...]:
    """Return the premium of each language against one of them.

    A sentence is drawn for both languages at once: the same sentence is short in both. The interval
    says how far the premium would be another with other sentences like these.

    Args:
        tokens: [languages, sentences].
        against: number of the language that stands for 1.

    Raises:
        ValueError: if that has no tokens.
    """
    totals = tokens.sum(1)
    if not totals[against]:
        raise ValueError(
            "this tokenizer leaves out characters of the language that is compared with: choose "
            "another one, or another tokenizer"
        )
    draw = np.random.default_rng(_SEED).integers(tokens.shape[1], size=(DRAWS, tokens.shape[1]))
    drawn = tokens[:, draw].sum(-1)
    ratio = drawn / drawn[against]
    low, high = np.quantile(ratio, [0.025, 0.975], axis=1)
    return tuple(
        Premium(int(total), float(total / totals[against]), float(a), float(b))
        for total, a, b in zip(totals, low, high, strict=True)
    )
