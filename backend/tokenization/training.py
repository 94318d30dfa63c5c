"""Training a tokenizer on a text: BPE, Unigram or WordPiece by the ``tokenizers`` library, or LiB.

Papers: Sennrich et al., 2016, arXiv:1508.07909 (BPE); Kudo, 2018, arXiv:1804.10959 (Unigram);
Schuster & Nakajima, 2012 (WordPiece); Yang, 2024, arXiv:2403.00417 (LiB);
Bommarito et al., 2025, arXiv:2503.17247 (character-level BPE).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, get_args

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tokenarium.backend.models.isolation.process import TokenizerProcess, TokenizerStopped
from tokenarium.backend.models.refusal import ModelRefused, refusing
from tokenarium.backend.runs.events import CancelToken, current_cancel
from tokenarium.backend.tokenization.bpe import merged
from tokenarium.backend.tokenization.engine import InProcess
from tokenarium.backend.tokenization.less_is_better import train_lib
from tokenarium.backend.tokenization.segmentation import Reading
from tokenarium.backend.tokenization.settled import letters_inside, settled
from tokenarium.backend.tokenization.vocabulary import Vocabulary, vocabulary_of

Kind = Literal["bpe", "unigram", "wordpiece", "lib", "characters"]
TITLES = {
    "bpe": "BPE",
    "unigram": "Unigram",
    "wordpiece": "WordPiece",
    "lib": "LiB",
    "characters": "Character-level BPE",
}
LONGEST_CHARACTERS = 3
"""Bytes of a token of character-level BPE (Bommarito et al., 2025: one to three characters)."""
MOST_CHARACTERS = 400_000
HOSTED_MOST_CHARACTERS = 100_000
LEAST_SIZE, MOST_SIZE = 260, 32_000
_UNKNOWN = "[UNK]"


@dataclass(frozen=True)
class Point:
    """How many tokens a text is under the first merges of a list."""

    entries: int
    tokens: int


def train(
    text: str,
    kind: Kind,
    size: int,
    *,
    words: bool,
    name: str,
    title: str,
    check: Callable[[], None] = lambda: None,
    seconds: float | None = None,
) -> Vocabulary:
    """Return a tokenizer that is trained on a text; the same text gives the same one.

    BPE, Unigram and LiB begin with all 256 bytes, so that they spell any text; WordPiece with the
    characters of the text, others are unknown to it.

    Args:
        text: at least one word.
        kind: of model.
        size: entries wanted; fewer where the text has no more to merge.
        words: whether no token goes beyond a word; otherwise none goes beyond a line.
        name: of the vocabulary.
        title: for people.
        check: called again and again while LiB learns; what it raises ends the training.
        seconds: processor time that the library may take, in a process of its own that is ended
            then or when the run is cancelled; None for no limit, and none to end.

    Raises:
        ValueError: if the text gives none, or the time is over.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind={kind!r} is unknown: choose {', '.join(get_args(Kind))}")
    if not LEAST_SIZE <= size <= MOST_SIZE:
        raise ValueError(f"size={size} is out of range: choose from {LEAST_SIZE} to {MOST_SIZE:,}")
    if not text.strip():
        raise ValueError("the text to train on is empty: give at least one word")
    if kind == "lib":
        return train_lib(text, size, words=words, name=name, title=title, check=check)
    state = _trained(text, kind, size, words=words, seconds=seconds)
    if kind == "characters" and _longest(state) > LONGEST_CHARACTERS:
        below = LONGEST_CHARACTERS
        state = _trained(text, kind, size, words=words, below=below, seconds=seconds)
    return vocabulary_of(state, name, title, InProcess(Tokenizer.from_str(state)))


def _trained(
    text: str,
    kind: Kind,
    size: int,
    *,
    words: bool,
    below: int = LONGEST_CHARACTERS + 1,
    seconds: float | None = None,
) -> str:
    """Return a tokenizer.json; ``below`` is for character-level ones.

    The library (0.23) makes tokens shorter than the limit, not as long as that.
    """
    core, trainer, options = _prepared(kind, size, below, words=words)
    lines = text.splitlines(keepends=True)
    letters: list[str] = []
    if kind == "wordpiece":
        letters = letters_inside(core, lines)
        options["special_tokens"] = [_UNKNOWN, *letters]
    with refusing("no tokenizer can be trained on this text", "give a longer one"):
        if seconds is None:
            core.train_from_iterator(lines, getattr(trainers, trainer)(**options))
            return settled(core.to_str(), letters)
        (current_cancel() or CancelToken()).check()
        process = TokenizerProcess("this text", seconds)
        asked: dict[str, Any] = {"core": core.to_str(), "lines": lines}
        try:
            asked |= {"trainer": trainer, "options": options}
            return settled(process.ask(lambda: None, do="train", **asked), letters)
        except TokenizerStopped as error:
            raise ModelRefused(
                f"training takes longer than the {seconds:g} s of a processor allowed here, or "
                "more memory: give a shorter text, or fewer entries"
            ) from error
        finally:
            process.forget()


def _longest(state: str) -> int:
    return max(map(len, Tokenizer.from_str(state).get_vocab()))


def _prepared(
    kind: Kind, size: int, below: int, *, words: bool
) -> tuple[Tokenizer, str, dict[str, Any]]:
    """Return a tokenizer before its training, and the name and options of its trainer."""
    if kind == "wordpiece":
        core = Tokenizer(models.WordPiece(unk_token=_UNKNOWN))
        core.pre_tokenizer = pre_tokenizers.Whitespace()
        core.decoder = decoders.WordPiece()
        marked: dict[str, Any] = {"special_tokens": [_UNKNOWN]}
        return core, "WordPieceTrainer", {"vocab_size": size, "show_progress": False, **marked}
    core = Tokenizer(models.Unigram() if kind == "unigram" else models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words)
    core.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = "UnigramTrainer" if kind == "unigram" else "BpeTrainer"
    options: dict[str, Any] = {"vocab_size": size, "show_progress": False}
    options["initial_alphabet"] = alphabet
    return core, trainer, options | ({"max_token_length": below} if kind == "characters" else {})


def digest_of(text: str, kind: str, size: int, *, words: bool) -> str:
    """Return what names a tokenizer that is trained on a text."""
    return sha256(f"{kind} {size} {words}\0{text}".encode()).hexdigest()[:16]


def growth(vocabulary: Vocabulary, reading: Reading, sizes: Sequence[int]) -> tuple[Point, ...]:
    """Return how many tokens a text is under vocabularies that stop earlier.

    A list of merges that is cut off after k is what training would have given with k merges fewer
    entries, so that one training answers for all sizes.

    Args:
        vocabulary: of BPE.
        reading: a text under it.
        sizes: numbers of merges.
    """
    pieces = Counter(reading.pieces)
    begin = len(vocabulary.entries) - len(vocabulary.merges)
    found = []
    for size in sizes:
        kept = {pair: merge for pair, merge in vocabulary.merges.items() if merge.rank < size}
        tokens = sum(
            times * len(merged(vocabulary.symbols(piece), kept)) for piece, times in pieces.items()
        )
        found.append(Point(begin + len(kept), tokens))
    return tuple(found)


def sizes_of(merges: int, points: int = 8) -> tuple[int, ...]:
    """Return numbers of merges from none to all of them, doubling."""
    if not merges:
        return (0,)
    steps = np.geomspace(max(1, merges / 2 ** (points - 2)), merges, points - 1)
    return tuple(sorted({0, *(round(float(step)) for step in steps)}))
