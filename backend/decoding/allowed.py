"""Which tokens may follow under a constraint, asked one by one or for a whole vocabulary."""

import codecs
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.decoding.constraint import Constraint

MOST_CHARACTERS = 64
"""Characters that an unfinished one is tried as: all it may become, or so many evenly from them
and those that the constraint names."""
REMEMBERED = 64


class Vocabulary:
    """The tokens that may stand in a text, in the order of their bytes.

    Args:
        spelled: bytes by id; a token that is not there, or has none, may never follow.
        ends: tokens that end a text: they may follow where it is complete.
        size: of the vocabulary.
    """

    def __init__(self, spelled: Mapping[int, bytes], ends: Collection[int], size: int) -> None:
        self.ends, self.size = set(ends), size
        self.spelled = {key: own for key, own in spelled.items() if own and key not in self.ends}
        self.order = sorted(self.spelled, key=lambda key: self.spelled[key])
        self.pieces = [self.spelled[key] for key in self.order]
        """Bytes of each, in order."""
        self.shared = [0, *(_shared(*pair) for pair in pairwise(self.pieces))]
        """How many bytes each begins with like the one before it."""
        whole = (_decoded(piece) for piece in self.pieces)
        self.texts = [None if rest else text for text, rest in whole]
        """The same as text; None where it is not made of whole characters."""

    def after(self, beginning: bytes, place: int) -> int:
        """Return the first place after one whose token does not begin with given bytes."""
        last = beginning.rstrip(b"\xff")
        if not last:
            return len(self.pieces)
        return bisect_left(self.pieces, last[:-1] + bytes([last[-1] + 1]), place + 1)


class Allowed:
    """A constraint over the tokens of one vocabulary.

    A token may end inside a character; the constraint is then asked for the characters that it
    may become.

    Args:
        constraint: on the new text.
        vocabulary: of the model.
    """

    def __init__(self, constraint: Constraint, vocabulary: Vocabulary) -> None:
        self.constraint, self.vocabulary = constraint, vocabulary
        self.ends, self._spelled = vocabulary.ends, vocabulary.spelled
        self._named = sorted({one for one in constraint.characters if ord(one) > 127})
        self._masks: dict[bytes, NDArray[np.bool_]] = {}
        self.calls = 0
        """How often the constraint was asked."""

    def text(self, tokens: Sequence[int]) -> bytes:
        """Return the bytes of the new text."""
        return b"".join(self._spelled.get(token, b"") for token in tokens)

    def may_follow(self, before: bytes, token: int) -> bool:
        """Return whether a token may follow the new text so far."""
        if token in self.ends:
            return self.complete(before)
        own = self._spelled.get(token)
        return own is not None and self._viable(before + own)

    def complete(self, before: bytes) -> bool:
        """Return whether the new text may end."""
        self.calls += 1
        text, rest = _decoded(before)
        return text is not None and not rest and self.constraint.complete(text)

    def broken_at(self, tokens: Sequence[int], given: int = 0) -> int | None:
        """Return the first of the new tokens that may not follow those before it; None for none.

        Args:
            tokens: of the new text.
            given: how many of them were not chosen; what breaks among them is not told.
        """
        before = self.text(tokens[:given])
        for place, token in enumerate(tokens[given:], given):
            if not self.may_follow(before, token):
                return place
            before += self.text([token])
        return None

    def mask(self, before: bytes) -> NDArray[np.bool_]:
        """Return which tokens [V] may follow the new text so far; it is read, never written to.

        Tokens are walked in the order of their bytes, so that what begins with bytes that may not
        follow is passed over at once; what may follow equal texts is worked out once.
        """
        before = self._shortened(before)
        if before not in self._masks:
            if len(self._masks) >= REMEMBERED:
                self._masks.pop(next(iter(self._masks)))
            self._masks[before] = self._walked(before)
        return self._masks[before]

    def _walked(self, before: bytes) -> NDArray[np.bool_]:
        words = self.vocabulary
        found = np.zeros(words.size, bool)
        found[[end for end in self.ends if end < words.size]] = self.complete(before)
        text, rest = _decoded(before)
        start = None if rest else text
        place = viable = 0  # viable: bytes of the last token that are
        accepted = False
        while place < len(words.order):
            piece = words.pieces[place]
            least = min(words.shared[place], viable) + 1
            # What one token was is likely of the next: ask for all of it, or for its first bytes.
            if accepted and self._may(before, start, place):
                least = len(piece) + 1
            for length in range(least, len(piece) + 1):
                if not self._viable(before + piece[:length]):
                    accepted, viable = False, length - 1
                    place = words.after(piece[:length], place)
                    break
            else:
                found[words.order[place]] = accepted = True
                viable, place = len(piece), place + 1
        return found

    def _may(self, before: bytes, text: str | None, place: int) -> bool:
        """Return whether a token may follow ``before``, which reads ``text`` if that is known."""
        own = self.vocabulary.texts[place]
        if text is None or own is None:
            return self._viable(before + self.vocabulary.pieces[place])
        self.calls += 1
        return self.constraint.viable(text + own)

    def _viable(self, spelled: bytes) -> bool:
        self.calls += 1
        text, rest = _decoded(spelled)
        if text is None:
            return False
        if not rest:
            return self.constraint.viable(text)
        could_be = (*_characters(rest), *self._named)
        return any(
            self.constraint.viable(text + one) for one in could_be if one.encode().startswith(rest)
        )

    def _shortened(self, before: bytes) -> bytes:
        """Return bytes after which the same may follow."""
        text, rest = _decoded(before)
        if text is None or not self.constraint.viable(text):
            return before
        return self.constraint.shortened(text).encode() + rest


def _shared(one: bytes, other: bytes) -> int:
    """Return how many bytes two begin with alike."""
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count


def _decoded(spelled: bytes) -> tuple[str | None, bytes]:
    """Return whole characters, and the bytes of one that is unfinished; None where none can be."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(spelled)
    except UnicodeDecodeError:
        return None, b""
    return text, decoder.getstate()[0]


def _characters(rest: bytes) -> list[str]:
    """Return what an unfinished character may become, or some of it, evenly."""
    lead = rest[0]
    length = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    missing = length - len(rest)
    count = 64**missing
    made = []
    for number in range(0, count, max(1, count // MOST_CHARACTERS)):
        digits = [number // 64**place % 64 for place in reversed(range(missing))]
        made.append(_decoded(rest + bytes(0x80 + digit for digit in digits))[0])
    return [one for one in made if one]
