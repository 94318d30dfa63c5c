"""Characters that a tokenizer has cut into several tokens, put together again to be read."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from tokenarium.ui.text import visible

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
MOST_TOKENS = 64
"""Tokens of one group; what is longer, as marks heaped on marks, is cut."""
_JOINER = "\u200d"
_FLAGS = range(0x1F1E6, 0x1F200)
_CLINGING = (
    *((0x200D, 0x200D), (0x20E3, 0x20E3), (0xFE00, 0xFE0F)),
    *((0x1F3FB, 0x1F3FF), (0xE0020, 0xE007F)),
)
"""Joiner, keycap, variation selectors, skin tones and tags: a part of the emoji before them."""


@dataclass(frozen=True)
class Group:
    """Tokens [start, stop) that can be read together only."""

    start: int
    stop: int
    text: str
    """What they spell."""


def groups(texts: Sequence[str]) -> tuple[Group, ...]:
    """Return the characters that several tokens spell, in order.

    A tokenizer that works on bytes may cut a character, which its tokens then spell as ``<0xNN>``:
    ``<0xD9>``, ``<0x85>`` are one Arabic letter. Marks go with a letter that was cut, and the parts
    of an emoji with each other. Bytes that spell no character stay alone.

    Args:
        texts: T token texts, decoded one by one.
    """
    return _groups(tuple(texts))


def written(texts: Sequence[str]) -> list[str]:
    """Return T texts that joined can be read: a group's first token has all of its text."""
    return [text or "" for text in readable(texts)]


def displayed(texts: Sequence[str]) -> list[str]:
    """Return T texts as the page shows them one after another, every sign of them to be seen.

    Those that another token's text already has are empty; no other is.
    """
    return ["" if text is None else visible(text) for text in readable(texts)]


def readable(texts: Sequence[str]) -> list[str | None]:
    """Return ``written`` texts, None where a token's text stands with an earlier one."""
    found: list[str | None] = list(texts)
    for group in groups(texts):
        found[group.start : group.stop] = [group.text, *[None] * (group.stop - group.start - 1)]
    return found


def named(texts: Sequence[str]) -> tuple[str, ...]:
    """Return what each token is called where it stands alone, such as in a table.

    A part of a character is named by that and its place: ``م (2 of 2)``.
    """
    return _named(tuple(texts))


def spelled_bytes(text: str) -> bytes:
    """Return the bytes of a token's text, of which some may be written ``<0xNN>``."""
    parts = _BYTE.split(text)
    return b"".join(
        bytes([int(part, 16)]) if place % 2 else part.encode("utf-8", "surrogatepass")
        for place, part in enumerate(parts)
    )


@lru_cache(maxsize=16)
def _groups(texts: tuple[str, ...]) -> tuple[Group, ...]:
    return tuple(found for found in _joined(_pieces(texts)) if found.stop - found.start > 1)


@lru_cache(maxsize=16)
def _named(texts: tuple[str, ...]) -> tuple[str, ...]:
    found = list(texts)
    for group in _groups(texts):
        count = group.stop - group.start
        for place in range(count):
            found[group.start + place] = f"{group.text} ({place + 1} of {count})"
    return tuple(found)


def _pieces(texts: tuple[str, ...]) -> list[tuple[Group, bool]]:
    """Return tokens and runs of tokens that end where a character does, and which were cut."""
    found: list[tuple[Group, bool]] = []
    at = 0
    while at < len(texts):
        stop, text = _whole(texts, at)
        found.append((Group(at, stop, text), stop - at > 1))
        at = stop
    return found


def _whole(texts: tuple[str, ...], start: int) -> tuple[int, str]:
    """Return where the characters end that begin with a token, and what they are."""
    if not _BYTE.search(texts[start]):
        return start + 1, texts[start]
    spelled = b""
    for stop in range(start, min(start + MOST_TOKENS, len(texts))):
        if not _BYTE.search(texts[stop]):
            break
        spelled += spelled_bytes(texts[stop])
        try:
            return stop + 1, spelled.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                break
    return start + 1, texts[start]


def _joined(pieces: list[tuple[Group, bool]]) -> list[Group]:
    found: list[Group] = []
    for before, (piece, cut) in pairwise([(Group(0, 0, ""), False), *pieces]):
        last = found[-1] if found else None
        room = last is not None and piece.stop - last.start <= MOST_TOKENS
        if last and room and _clings(last.text, piece.text, cut or before[1]):
            found[-1] = Group(last.start, piece.stop, last.text + piece.text)
        else:
            found.append(piece)
    return found


def _clings(before: str, text: str, cut: bool) -> bool:
    """Return whether a text goes on with the character before it."""
    if not before or not text:
        return False
    first = ord(text[0])
    if any(low <= first <= high for low, high in _CLINGING):
        return True
    if before[-1] == _JOINER and unicodedata.category(text[0]) == "So":
        return True
    if first in _FLAGS and cut:
        flags = len(before) - len(before.rstrip("".join(map(chr, _FLAGS))))
        return flags % 2 == 1
    return cut and unicodedata.category(text[0]).startswith("M")
