"""One text under several tokenizers, cuts aligned: blocks between places where all of them cut."""

import unicodedata
from bisect import bisect_left
from itertools import accumulate
from typing import Any

import numpy as np

from tokenarium.backend import TokenizeResult, Vocabulary
from tokenarium.ui.text import visible


def strip_of(result: TokenizeResult, text: str, vocabularies: list[Vocabulary]) -> dict[str, Any]:
    """Return what the browser draws.

    Args:
        result: of R segmentations.
        text: that was cut.
        vocabularies: R, of the segmentations.
    Returns: ``rows`` of titles and tokens ``[id, bytes, rank, what was merged]``; ``blocks``, each
        R lists of cells ``[text, first token, after the last]``. A cell has several tokens where
        these spell one character together, none where the text has a character less.
    """
    place = [0, *accumulate(len(character.encode()) for character in text)]
    cells = [_cells(result, row, place) for row in range(len(vocabularies))]
    ends = [{cell[2] for cell in row} for row in cells]
    common = sorted(end for end in set.intersection(*ends) if _breaks(text, end)) if ends else []
    return {
        "rows": [_row(result, row, found) for row, found in enumerate(vocabularies)],
        "blocks": _blocks(cells, common, text),
    }


def _row(result: TokenizeResult, row: int, vocabulary: Vocabulary) -> dict[str, Any]:
    mine = result.segmentation == row
    tokens = []
    for key, rank in zip(
        result.token_ids[mine].tolist(), result.merge_rank[mine].tolist(), strict=True
    ):
        spelled = vocabulary.spelled.get(key, b"")
        pair = ""
        if rank >= 0:
            pair = " + ".join(_readable(vocabulary, part) for part in vocabulary.merge_list[rank])
        tokens.append([key, spelled.hex(" "), rank, pair])
    return {"title": vocabulary.title, "name": vocabulary.name, "tokens": tokens}


def _readable(vocabulary: Vocabulary, entry: str) -> str:
    spelled = vocabulary.bytes_of(entry).decode("utf-8", "tokenarium_hexadecimal")
    return visible(spelled).replace(" ", "·")


def _cells(
    result: TokenizeResult, row: int, place: list[int]
) -> list[tuple[int, int, int, int, int]]:
    """Return cells of one row: [characters from, bytes, to, first token, after the last)."""
    mine = np.flatnonzero(result.segmentation == row)
    found, begin, first = [], 0, 0
    for token, index in enumerate(mine.tolist()):
        stop = int(result.stop_byte[index])
        character = bisect_left(place, stop)
        if place[character] == stop and (character > begin or token + 1 == len(mine)):
            found.append((begin, stop, character, first, token + 1))
            begin, first = character, token + 1
    return found


def _breaks(text: str, at: int) -> bool:
    """Return whether a line may break before a character, so that words stay whole."""
    if at >= len(text):
        return True
    before, after = text[at - 1 : at], text[at]
    letters = [unicodedata.category(c) for c in (before, after) if c]
    return before.isspace() or after.isspace() or "Lo" in letters


def _blocks(
    cells: list[list[tuple[int, int, int, int, int]]], common: list[int], text: str
) -> list[list[list[list[Any]]]]:
    at = [0] * len(cells)
    found = []
    for end in common:
        block = []
        for row, mine in enumerate(cells):
            shown = []
            while at[row] < len(mine) and mine[at[row]][2] <= end:
                begin, _, stop, first, after = mine[at[row]]
                shown.append([visible_part(text[begin:stop]), first, after])
                at[row] += 1
            block.append(shown)
        found.append(block)
    return found


def visible_part(part: str) -> str:
    """Return a part of a text as it is shown, in one line: spaces kept, line ends as a sign."""
    return "".join("⏎" if c == "\n" else c if c == " " else visible(c) for c in part)
