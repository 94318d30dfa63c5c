"""What the list of merges says about the text that a tokenizer was trained on.

Paper: Hayase et al., 2024, arXiv:2407.16607.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.tokenization.bpe import refuse_without_merges
from tokenarium.backend.tokenization.least_slack import LeastSlack, least_slack
from tokenarium.backend.tokenization.pair_counts import PairCounts, weights_of
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.vocabulary import Merge, Vocabulary

DRAWS = 20
RIVALS = 40
LEAST_TEXTS, MOST_TEXTS = 2, 8
LEAST_MERGES, MOST_MERGES = 20, 1_000
INTERVAL = 0.9
LEAST_SHARE = 0.01
_SEED = 0
_ENDS = re.compile("[.!?\n]|\u3002|\uff01|\uff1f|\u0964".encode())
"""Ends of sentences, in Chinese and Hindi too."""
MOST_WORD_BYTES = 2_000
_STRAY = 1_000
"""One token of so many may go beyond a word: some are put into a vocabulary by hand."""
_WORDS = re.compile(rb" ?[^ \n\t\r]+")
_WORDS_AND_DIGITS = re.compile(rb" ?[^ \n\t\r0-9]+| ?[0-9]")


@dataclass(frozen=True)
class Mixture:
    """Shares of n kinds of text under which a list of merges is nearest to what training gives."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    """[n] bytes of the samples."""
    shares: NDArray[np.float64]
    """[n] by bytes."""
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    """[n] ends of the middle 90 % over draws of the samples' sentences."""
    stands: NDArray[np.float64]
    """[n] share of the merges that stand in the sample."""
    merges: int
    """That say something: the first of the list which stand in a sample."""
    unseen: int
    """Merges before the last of these that stand in no sample, and so say nothing."""
    explained: float
    """Share of these that stand in a sample which has a share."""
    constraints: int
    slack: float
    """Least sum of slack, in pairs per 1,000 bytes."""
    bound: float
    """What no shares go below: the same but for rounding."""
    equal_slack: float
    """Sum of slack if the shares were equal: how much the answer is better than none."""
    notes: tuple[str, ...]


def mixture(
    vocabulary: Vocabulary,
    samples: Mapping[str, str],
    merges: int,
    check: Callable[[], None] = lambda: None,
) -> Mixture:
    """Return the shares of kinds of text in what a tokenizer was trained on.

    At every step of training BPE merges the commonest pair of the whole mixture. So with c_i(p) the
    pairs p per byte in a sample of kind i after the merges before, the shares a satisfy
    sum a_i (c_i(merged) - c_i(p)) >= 0 for every other pair p. Samples are not the training text:
    a linear programme finds the shares that need the least slack, one number per merge and one per
    pair. *Variant*: of each merge the 40 pairs that could lead it most in a sample; merges that
    stand in no sample are left out; intervals by drawing sentences of the samples anew.

    Args:
        vocabulary: of byte-pair encoding.
        samples: 2 to 8 texts by name; counts are by byte, so their lengths may differ.
        merges: how many of the list are looked at, the first that stand in a sample.
        check: called at every step; what it raises ends the computation.

    Raises:
        ValueError: if the tokenizer has no merges, a sample no pair, or a number is out of range.
    """
    refuse_without_merges(vocabulary, "the training mixture")
    if not LEAST_TEXTS <= len(samples) <= MOST_TEXTS:
        raise ValueError(
            f"{len(samples)} samples are given: choose from {LEAST_TEXTS} to {MOST_TEXTS}"
        )
    if not LEAST_MERGES <= merges <= MOST_MERGES:
        raise ValueError(
            f"merges={merges} is out of range: choose from {LEAST_MERGES} to {MOST_MERGES:,}"
        )
    notes: list[str] = []
    words_of = _splitting(vocabulary, notes)
    numbers: dict[bytes, int] = {}
    units = [
        _sentences(vocabulary, name, text, words_of, numbers) for name, text in samples.items()
    ]
    words = [vocabulary.symbols(word) for word in numbers]
    weights = weights_of(units, len(words), DRAWS, _SEED)
    spoken = np.array([[len(word)] for word in numbers])[:, :, None] * weights
    per_thousand = 1_000 / np.maximum(spoken.sum(0), 1)  # of each draw's own bytes
    pairs = PairCounts(words, weights * per_thousand)
    listed = sorted(vocabulary.merges.items(), key=lambda item: item[1].rank)
    margins, choices, rivals, stands = _constraints(pairs, listed, merges, check)
    if not len(choices):
        raise ValueError(
            "no merge of this tokenizer leads or lags in these samples: give longer samples, or "
            "kinds of text that differ more"
        )
    found = [least_slack(margins[:, draw], choices, rivals, check) for draw in range(DRAWS + 1)]
    return _mixture(samples, found, margins[:, 0], (choices, rivals), stands, notes)


def _splitting(vocabulary: Vocabulary, notes: list[str]) -> re.Pattern[bytes] | None:
    """Return how words are found where the file no longer says it; None where it does."""
    if vocabulary.steps.get("pre_tokenizer") and vocabulary.spelling == "byte_level":
        return None
    tokens = [vocabulary.spelled[key] for key in vocabulary.entries]
    if sum(b" " in spelled.strip() for spelled in tokens) * _STRAY > len(tokens):
        return None
    alone = not any(spelled.strip().isdigit() and len(spelled.strip()) > 1 for spelled in tokens)
    notes.append(
        f"{vocabulary.title} declares no words, but its tokens do not go beyond one: samples "
        "are split at spaces" + (", and digits stand alone as in its tokens" if alone else "")
    )
    return _WORDS_AND_DIGITS if alone else _WORDS


def _sentences(
    vocabulary: Vocabulary,
    name: str,
    text: str,
    words_of: re.Pattern[bytes] | None,
    numbers: dict[bytes, int],
) -> list[Counter[int]]:
    """Return the words of each sentence of a sample by number; new words get the next one."""
    pieces = read(vocabulary, text).pieces
    if words_of:
        pieces = tuple(word for piece in pieces for word in words_of.findall(piece))
    if any(len(piece) > MOST_WORD_BYTES for piece in pieces):
        raise ValueError(
            f"{vocabulary.title} merges beyond words, and the sample {name[:40]!r} has a line of "
            f"over {MOST_WORD_BYTES:,} bytes: give shorter lines, or choose another tokenizer"
        )
    found: list[Counter[int]] = [Counter()]
    for piece in filter(None, pieces):
        found[-1][numbers.setdefault(piece, len(numbers))] += 1
        if _ENDS.search(piece):
            found.append(Counter())
    found = [sentence for sentence in found if sentence]
    if not found:
        raise ValueError(f"the sample {name[:40]!r} is empty: give a text, or leave it out")
    return found


def _constraints(
    pairs: PairCounts,
    listed: Sequence[tuple[tuple[int, int], Merge]],
    wanted: int,
    check: Callable[[], None],
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Return [m, R, n] leads of merges over rivals, which these are, and where merges stand.

    The last is [all that were looked at, n].
    """
    margins, choices, rivals, stands, seen = [], [], [], [], 0
    for pair, merge in listed:
        if seen == wanted:
            break
        check()
        mine = pairs.of(pair)
        stands.append(mine[0] > 0)
        if mine[0].any():
            lead = (pairs.counts[:, 0] - mine[0]).max(1)
            most = np.argsort(-lead, kind="stable")[:RIVALS]
            ahead = most[lead[most] > 0]
            margins.append(mine - pairs.counts[ahead])
            choices.append(np.full(len(ahead), seen))
            rivals.append(ahead)
            seen += 1
            pairs.merge(pair, merge.token)
    shape = pairs.counts.shape[1:]
    none: list[NDArray[np.intp]] = [np.zeros(0, np.intp)]
    return (
        np.concatenate([np.zeros((0, *shape)), *margins]),
        np.concatenate(none + choices),
        np.concatenate(none + rivals),
        np.array(stands, np.bool_).reshape(-1, shape[1]),
    )


def _mixture(
    samples: Mapping[str, str],
    found: Sequence[LeastSlack],
    margins: NDArray[np.float64],
    places: tuple[NDArray[np.intp], NDArray[np.intp]],
    stands: NDArray[np.bool_],
    notes: Sequence[str],
) -> Mixture:
    drawn = np.array([each.shares for each in found[1:]])
    low, high = np.quantile(drawn, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=0)
    shares, seen = found[0].shares, stands[stands.any(1)]
    return Mixture(
        names=tuple(samples),
        sizes=tuple(len(text.encode()) for text in samples.values()),
        shares=shares,
        low=low,
        high=high,
        stands=seen.mean(0),
        merges=len(seen),
        unseen=len(stands) - len(seen),
        explained=float(seen[:, shares >= LEAST_SHARE].any(1).mean()),
        constraints=len(margins),
        slack=found[0].slack,
        bound=found[0].bound,
        equal_slack=least_slack(margins.mean(1, keepdims=True), *places).slack,
        notes=tuple(notes),
    )
