"""Less is Better: units are remembered, tried and forgotten while a text is read, epoch by epoch.

Papers: Yang, Frank & van den Bosch, 2020, "Less is Better"; Yang, 2024, arXiv:2403.00417. A
variant: their description is followed, and its constants are this program's own.
"""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import accumulate, pairwise

import numpy as np
from tokenizers import pre_tokenizers

from tokenarium.backend.models.spelling import byte_alphabet
from tokenarium.backend.tokenization.engine import Read
from tokenarium.backend.tokenization.vocabulary import Vocabulary

EPOCHS = 20
PROBED = 0.1
"""Share of neighbouring units whose pair is remembered in an epoch."""
FORGOTTEN = 0.1
"""Share of the units, the last of them, that are forgotten after an epoch."""
STEP = 0.2
"""By how much of it the place of a unit changes each time that it is read."""
LONGEST = 16
"""Bytes of a unit."""
_IN_STEP = 16
"""Tokens after which two readings must end at one place, or a unit is not judged there."""
_BYTES = 256
_CHECKED = 1_024
"""Tokens that are read between two looks at whether to go on."""


@dataclass(frozen=True)
class Epoch:
    """The training text as it was read once."""

    units: int
    """Known beside single bytes."""
    tokens: int
    """That the text was cut into."""


def cut(piece: bytes, units: Collection[bytes], longest: int = LONGEST) -> list[int]:
    """Return where the tokens of a text end: the longest known unit each time, from the left.

    ``abcd`` ends at [3, 4] with the units ab, abc and cd; what begins no unit is a byte.
    """
    ends, place = [], 0
    while place < len(piece):
        place = _end(piece, place, units, longest)
        ends.append(place)
    return ends


def gain(piece: bytes, ends: Sequence[int], at: int, units: Collection[bytes]) -> int | None:
    """Return how many tokens the unit at one place saves, against the next longest one there.

    Of ``abcd`` with ab, abc and cd the unit abc saves none: ab and cd are two tokens as well.

    Args:
        piece: a text.
        ends: where its tokens end.
        at: number of the token.
        units: that are known.
    Returns: None where the two readings do not end at one place soon.
    """
    start = ends[at - 1] if at else 0
    place = _end(piece, start, units, ends[at] - start - 1)
    mine, other = at, 1
    while place != ends[mine]:
        if place > ends[mine]:
            mine += 1
        else:
            place = _end(piece, place, units, LONGEST)
            other += 1
        if other > _IN_STEP:
            return None
    return other - (mine - at + 1)


def learn(
    pieces: Sequence[bytes], size: int, check: Callable[[], None] = lambda: None, seed: int = 0
) -> tuple[list[bytes], list[Epoch]]:
    """Return the units that are left after all epochs, the best first, and each epoch.

    In an epoch every piece is read. A unit that makes its reading shorter moves up, another sinks;
    pairs of neighbours are remembered at the end of the list, and tried in the next epoch. After it
    the last are forgotten, and what is beyond the size.

    Args:
        pieces: of the text; no unit goes beyond one.
        size: units at most.
        check: called again and again while it reads; what it raises ends the learning.
        seed: of which pairs are remembered.
    """
    draw = np.random.default_rng(seed)
    places: dict[bytes, float] = {}
    epochs: list[Epoch] = []
    for number in range(EPOCHS):
        remembers = number < EPOCHS - 1
        fresh: dict[bytes, None] = {}
        moved, tokens, since = dict(places), 0, _CHECKED
        for piece in pieces:
            if since >= _CHECKED:
                check()
                since = 0
            ends = cut(piece, places)
            tokens += len(ends)
            since += len(ends)
            _judge(piece, ends, places, moved, check)
            if remembers:
                fresh |= dict.fromkeys(_pairs(piece, ends, draw))
        epochs.append(Epoch(len(places), tokens))
        order = sorted(moved, key=moved.__getitem__)
        kept = round(len(order) * (1 - FORGOTTEN)) if remembers else len(order)
        order = order[: min(kept, size)]
        order += [pair for pair in fresh if pair not in places]
        places = {unit: place for place, unit in enumerate(order, start=1)}
    return [*places], epochs


class Reader:
    """What cuts texts by a list of units; an ``Engine``.

    Args:
        units: that are known.
        words: whether no token goes beyond a word.
        epochs: in which they were learned.
    """

    def __init__(self, units: Sequence[bytes], *, words: bool, epochs: Sequence[Epoch]) -> None:
        self._ids = {unit: key for key, unit in enumerate((*_single(), *units))}
        self._words, self.epochs = words, tuple(epochs)

    def read(self, text: str) -> Read:
        """Return ids and pre-tokens of a text."""
        pieces = pieces_of(text, words=self._words)
        tokens = [token for piece in pieces for token in self._cut(piece)]
        ends = [0, *accumulate(map(len, tokens))]
        # Code points that begin before a byte: a byte that goes on (10xxxxxx) begins none.
        begun = [0, *accumulate(byte & 0xC0 != 0x80 for byte in text.encode())]
        offsets = [(begun[a + 1] - 1, begun[b]) for a, b in pairwise(ends)]
        return Read([self._ids[each] for each in tokens], offsets, [*map(_written, pieces)])

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of each text."""
        return [
            [self._ids[token] for piece in pieces_of(text, words=self._words)
             for token in self._cut(piece)]
            for text in texts
        ]  # fmt: skip

    def _cut(self, piece: bytes) -> Iterable[bytes]:
        ends = cut(piece, self._ids)
        return (piece[a:b] for a, b in pairwise([0, *ends]))


def train_lib(
    text: str,
    size: int,
    *,
    words: bool,
    name: str,
    title: str,
    check: Callable[[], None] = lambda: None,
) -> Vocabulary:
    """Return a tokenizer whose units were learned on a text; the same text gives the same one.

    Args:
        text: that is read.
        size: entries wanted, all 256 bytes among them.
        words: whether no token goes beyond a word; otherwise none goes beyond a line.
        name: of the vocabulary.
        title: for people.
        check: called again and again while it reads; what it raises ends the learning.
    """
    lines = text.splitlines(keepends=True)
    pieces = [piece for line in lines for piece in pieces_of(line, words=words)]
    units, epochs = learn(pieces, size - _BYTES, check)
    entries = dict(enumerate(map(_written, (*_single(), *units))))
    steps = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": words}
    return Vocabulary(
        name=name,
        title=title,
        digest=sha256(json.dumps([entries, words]).encode()).hexdigest(),
        engine=Reader(units, words=words, epochs=epochs),
        spelling="byte_level",
        entries=entries,
        added={},
        merge_list=(),
        model="LiB",
        steps={"normalizer": None, "pre_tokenizer": steps},
    )


def pieces_of(text: str, *, words: bool) -> list[bytes]:
    """Return the parts of a text that no unit goes beyond: its words, or all of it."""
    if not words:
        return [text.encode()] if text else []
    alphabet = byte_alphabet()
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return [bytes(alphabet[c] for c in piece) for piece, _ in split.pre_tokenize_str(text)]


def _end(piece: bytes, start: int, units: Collection[bytes], longest: int) -> int:
    """Return where the longest known unit of at most so many bytes ends."""
    for stop in range(min(len(piece), start + longest), start + 1, -1):
        if piece[start:stop] in units:
            return stop
    return start + 1


def _judge(
    piece: bytes,
    ends: Sequence[int],
    units: Collection[bytes],
    places: dict[bytes, float],
    check: Callable[[], None],
) -> None:
    """Move each unit of a reading up or down, by what it saves."""
    for at, (start, stop) in enumerate(pairwise([0, *ends])):
        if at % _CHECKED == _CHECKED - 1:
            check()
        if stop - start > 1 and (saved := gain(piece, ends, at, units)) is not None:
            places[piece[start:stop]] *= 1 - STEP if saved > 0 else 1 + STEP


def _pairs(piece: bytes, ends: Sequence[int], draw: np.random.Generator) -> list[bytes]:
    """Return some pairs of neighbours, drawn."""
    starts = [0, *ends]
    drawn = np.flatnonzero(draw.random(len(ends)) < PROBED)
    pairs = (piece[starts[at] : ends[at + 1]] for at in drawn.tolist() if at + 1 < len(ends))
    return [pair for pair in pairs if len(pair) <= LONGEST]


def _single() -> list[bytes]:
    return [bytes([byte]) for byte in range(_BYTES)]


def _written(unit: bytes) -> str:
    """Return the characters that a byte-level vocabulary writes for bytes."""
    letters = _letters()
    return "".join(letters[byte] for byte in unit)


@cache
def _letters() -> dict[int, str]:
    return {byte: letter for letter, byte in byte_alphabet().items()}
