"""Native tokens of which the pairs that are commonest in the text are read as one vector."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import ceil

from pydantic import Field

from tokenarium.backend.tokenization.segmentation import Reading
from tokenarium.backend.tokenization.segmenter import Segmenter
from tokenarium.backend.tokenization.word_groups import Pieces, word_groups

Units = tuple[Pieces, ...]


class DynamicMerges(Segmenter):
    """Dynamic tokenization: merges of this text, inside its words, on top of the tokenizer's."""

    slug = "dynamic_merges"
    title = "Dynamic merges"
    explanation = (
        "The native tokens, but neighbours inside a word that are commonest in this text are "
        "merged, again and again; once such a unit is over the model reads one vector for it, the "
        "mean of its tokens' embeddings."
    )
    paper = "Feher et al., 2024, arXiv:2411.18553"
    differs = (
        "nothing is trained: the mean of embeddings in place of a hypernetwork; the batch is this "
        "text; of pairs equally common the first goes first; inside a unit the tokens are read one "
        "by one, so that every token has a probability"
    )
    joins = True

    share: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Of whole words",
        description="Merges go on until so much is saved of what whole words would save; 0 merges "
        "nothing, 1 gives whole words.",
    )

    def segment(self, reading: Reading, seed: int) -> list[int]:  # noqa: ARG002
        """Return the native tokens."""
        self.refuse_unless_spelled(reading)
        return list(reading.native)

    def units(self, reading: Reading, ids: Sequence[int]) -> list[int]:
        """Return how many tokens each unit has."""
        words = word_groups(reading)
        often = Counter(words)
        units: dict[Pieces, Units] = {w: tuple((key,) for key in w) for w in often}
        left = ceil(self.share * (len(ids) - len(words)))
        while left > 0:
            pair, times = commonest(units, often)
            if times == 1:  # each merge that is left saves one, and the first goes first
                units = first_joined(units, left)
                break
            before = sum(len(units[word]) * times for word, times in often.items())
            units = {word: joined(now, pair) for word, now in units.items()}
            left -= before - sum(len(units[word]) * times for word, times in often.items())
        return [len(unit) for word in words for unit in units[word]]


def commonest(
    units: dict[Pieces, Units], often: Counter[Pieces]
) -> tuple[tuple[Pieces, Pieces], int]:
    """Return the neighbours that stand together most often, of equal ones those that come first.

    Args:
        units: of each word, one of which has two at least.
        often: how many times each word stands in the text.
    """
    found: Counter[tuple[Pieces, Pieces]] = Counter()
    for word, now in units.items():
        for pair in pairwise(now):
            found[pair] += often[word]
    best = max(found, key=found.__getitem__)
    return best, found[best]


def first_joined(units: dict[Pieces, Units], merges: int) -> dict[Pieces, Units]:
    """Return units after so many merges of the first two of the first word that has two."""
    found = {}
    for word, now in units.items():
        done = min(merges, len(now) - 1)
        merges -= done
        found[word] = (sum(now[: done + 1], ()), *now[done + 1 :])
    return found


def joined(units: Units, pair: tuple[Pieces, Pieces]) -> Units:
    """Return units with every occurrence of a pair as one: of a a a, [aa, a]."""
    found: list[Pieces] = []
    for unit in units:
        if found and (found[-1], unit) == pair:
            found[-1] = (*found[-1], *unit)
        else:
            found.append(unit)
    return tuple(found)
