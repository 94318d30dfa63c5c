"""How much of a segmentation stands when letters are misread or mistyped.

Paper: Bommarito et al., 2025, arXiv:2503.17247 (character-level tokenizers whose boundaries hold
under errors). The measure is this program's: boundaries that both segmentations have, of all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.tokenization.segmentation import read, segmentation_of
from tokenarium.backend.tokenization.vocabulary import Vocabulary

Noise = Literal["ocr", "typed"]
MISREAD = {
    "rn": "m", "m": "rn", "cl": "d", "vv": "w", "l": "1", "1": "l", "I": "l", "O": "0", "0": "O",
    "e": "c", "h": "b", "S": "5", "5": "S", "B": "8",
}  # fmt: skip
"""What a scanner takes for what."""
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
BLOCK_BYTES = 200
"""Least of a block of lines, which the bootstrap draws whole."""
MOST_LINE = 400
DRAWS = 2_000


@dataclass(frozen=True)
class Edit:
    """A part of a text that noise replaced; both sides have at least one byte."""

    start: int
    stop: int
    """[start, stop) in bytes of the clean text."""
    new_start: int
    new_stop: int
    """[start, stop) in bytes of the noised one."""


@dataclass(frozen=True)
class Ratio:
    """A ratio of sums over blocks of a text."""

    value: float
    low: float
    high: float
    """Ends of the interval of 95 %, by drawing blocks anew; NaN where there is one block only."""


@dataclass(frozen=True)
class Stability:
    """How a segmentation stands noise."""

    errors: int
    boundaries: Ratio
    """Those that both segmentations have / those that one of them has; 1 without noise."""
    tokens: Ratio
    """Tokens of the clean text that the noised one has not, for each error."""
    recut: Ratio
    """Bytes of these tokens, for each error."""


def noised(text: str, noise: Noise, share: float, seed: int = 0) -> tuple[str, tuple[Edit, ...]]:
    """Return a text with errors, and where they are.

    Args:
        text: the clean text.
        noise: ``ocr`` takes letters for others (``MISREAD``); ``typed`` drops or doubles a letter,
            swaps it with the next, or takes a neighbour on the keyboard.
        share: chance of an error at each place that can have one, 0 to 1.
        seed: of what is drawn.

    Raises:
        ValueError: if the noise is unknown or the share out of range.
    """
    if noise not in get_args(Noise):
        raise ValueError(f"noise={noise!r} is unknown: choose {', '.join(get_args(Noise))}")
    if not 0 <= share <= 1:
        raise ValueError(f"share={share} is out of range: choose from 0 to 1")
    draw = np.random.default_rng(seed)
    parts: list[str] = []
    edits: list[Edit] = []
    place = clean = dirty = 0
    while place < len(text):
        found = _misread(text, place) if noise == "ocr" else _mistyped(text, place, draw)
        width, new = found if found and draw.random() < share else (1, text[place])
        old = text[place : place + width]
        sizes = len(old.encode()), len(new.encode())
        if old != new:
            edits.append(Edit(clean, clean + sizes[0], dirty, dirty + sizes[1]))
        clean, dirty, place = clean + sizes[0], dirty + sizes[1], place + width
        parts.append(new)
    return "".join(parts), tuple(edits)


def agreement(
    clean: NDArray[np.integer], dirty: NDArray[np.integer], edits: Sequence[Edit]
) -> tuple[int, int, int, int]:
    """Return boundaries in common, boundaries of either, tokens that changed, and their bytes.

    A boundary strictly inside of an edit has no counterpart: it counts in the union alone.

    Args:
        clean: [n, 2] spans of the tokens of the clean text, in bytes.
        dirty: [m, 2] those of the noised text.
        edits: between the two.
    """
    old, new = {*_inner(clean)}, _inner(dirty)
    moved = {*_mapped(new, edits)}
    either = len(old | moved) + len(new) - len(moved)
    kept = old & moved | {0, int(clean[-1, 1]) if len(clean) else 0}
    changed = [
        stop - start
        for start, stop in clean.tolist()
        if not {start, stop} <= kept
        or any(edit.start < stop and start < edit.stop for edit in edits)
        or any(start < place < stop for place in moved)
    ]
    return len(old & moved), either, len(changed), sum(changed)


def stability(
    vocabulary: Vocabulary,
    text: str,
    noise: Noise = "ocr",
    share: float = 0.02,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Stability:
    """Return how much of the native segmentation of a text stands noise.

    Args:
        vocabulary: of the tokenizer.
        text: the clean text, which is cut block by block.
        noise: ``ocr`` or ``typed``.
        share: chance of an error at each place that can have one.
        seed: of what is drawn; the same errors for every tokenizer.
        check: called before each block; what it raises ends the computation.

    Raises:
        ValueError: if the noise makes no error in this text, or an argument is out of range.
    """
    rows = []
    for number, block in enumerate(blocks(text)):
        check()
        wrong, edits = noised(block, noise, share, seed + number)
        readings = [read(vocabulary, each) for each in (block, wrong)]
        clean, dirty = (segmentation_of(each, each.native).spans for each in readings)
        rows.append((*agreement(clean, dirty, edits), len(edits)))
    common, either, tokens, recut, errors = np.array(rows, np.int64).reshape(-1, 5).T
    if not errors.sum():
        raise ValueError(
            f"noise of {share:.1%} makes no error in this text: give a longer one, or more noise"
        )
    return Stability(
        errors=int(errors.sum()),
        boundaries=ratio(common, either),
        tokens=ratio(tokens, errors),
        recut=ratio(recut, errors),
    )


def blocks(text: str) -> list[str]:
    """Return lines one after another, in blocks of at least 200 bytes; the last may be shorter.

    A line of more than 400 characters is cut.
    """
    found, taken = [], ""
    for line in text.splitlines(keepends=True):
        *parts, last = (line[at : at + MOST_LINE] for at in range(0, len(line), MOST_LINE))
        if parts:
            found += [taken + parts[0], *parts[1:]]
            taken = ""
        taken += last
        if len(taken.encode()) >= BLOCK_BYTES:
            found.append(taken)
            taken = ""
    return [*found, taken] if taken else found


def ratio(over: NDArray[np.integer], under: NDArray[np.integer]) -> Ratio:
    """Return the ratio of two sums over blocks, with its interval.

    Args:
        over: [blocks] what is divided.
        under: [blocks] what it is divided by.
    """
    value = float(over.sum() / under.sum()) if under.sum() else float("nan")
    if len(over) < 2:
        return Ratio(value, float("nan"), float("nan"))
    draw = np.random.default_rng(0).integers(len(over), size=(DRAWS, len(over)))
    below = under[draw].sum(1)
    ratios = over[draw].sum(1)[below > 0] / below[below > 0]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Ratio(value, float(low), float(high))


def _inner(spans: NDArray[np.integer]) -> list[int]:
    """Return where tokens meet, each place once."""
    ends = spans[:, 1].tolist()
    return sorted({end for end in ends if 0 < end < ends[-1]})


def _mapped(places: Sequence[int], edits: Sequence[Edit]) -> list[int]:
    """Return places of the noised text in the clean one, those inside of an edit left out."""
    found, at, shift = [], 0, 0
    for place in places:
        while at < len(edits) and edits[at].new_stop <= place:
            shift = edits[at].stop - edits[at].new_stop
            at += 1
        if at == len(edits) or place <= edits[at].new_start:
            found.append(place + shift)
    return found


def _misread(text: str, place: int) -> tuple[int, str] | None:
    for width in (2, 1):
        if (new := MISREAD.get(text[place : place + width])) is not None:
            return width, new
    return None


def _mistyped(text: str, place: int, draw: np.random.Generator) -> tuple[int, str] | None:
    first, second = text[place], text[place + 1 : place + 2]
    if not first.isalpha():
        return None
    way = int(draw.integers(4))
    if way == 0:
        return 1, first * 2
    if way < 3 and second.isalpha() and second != first:
        return 2, second if way == 1 else second + first
    for row in KEYS:
        if (at := row.find(first.lower())) >= 0:
            near = (
                row[at - 1] if at and (at + 1 == len(row) or draw.random() < 0.5) else row[at + 1]
            )
            return 1, near.upper() if first.isupper() else near
    return 1, first * 2
