"""The longest common subsequence of two sequences: what two texts have in common, in order."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_CELLS = 2**26
"""Pairs of items that are tried, once what both begin and end with alike is taken away: 8,192 items
against as many, which takes 8 MiB and under a second."""


@dataclass(frozen=True)
class Matches:
    """Items of two sequences that are equal and in the same order in both."""

    first: NDArray[np.int64]
    """[n] places in the first sequence, ascending."""
    second: NDArray[np.int64]
    """[n] places in the second one of the same items."""
    complete: bool
    """Whether no longer one exists; False where what lies between was too long to be tried."""


def common_subsequence(first: ArrayLike, second: ArrayLike) -> Matches:
    """Return a longest common subsequence; of several, one that matches as late as can be.

    Paper: Hirschberg, 1977, J. ACM 24(4), for the table of lengths. Differs: a row of the table is
    computed at once, as the running maximum of what the row above allows, and one bit a cell is
    kept to walk back by. The table of [1,2,3,4] and [2,9,4] ends with 2: items 2 and 4.

    Args:
        first, second: [n] and [m] integers; equal ones match.
    """
    one, two = np.asarray(first, np.int64), np.asarray(second, np.int64)
    shorter = min(len(one), len(two))
    start = _alike(one[:shorter], two[:shorter])
    end = _alike(one[start:][::-1][: shorter - start], two[start:][::-1][: shorter - start])
    middle = one[start : len(one) - end], two[start : len(two) - end]
    complete = len(middle[0]) * len(middle[1]) <= MOST_CELLS
    empty = np.zeros(0, np.int64)
    at, to = _longest(*middle) if complete else (empty, empty)
    here, there = (
        np.concatenate((np.arange(start), start + found, np.arange(length - end, length)))
        for found, length in ((at, len(one)), (to, len(two)))
    )
    return Matches(here, there, complete)


def _alike(one: NDArray[np.int64], two: NDArray[np.int64]) -> int:
    """Return how many items two sequences of one length begin with alike."""
    apart = np.flatnonzero(one != two)
    return int(apart[0]) if len(apart) else len(one)


def _longest(
    one: NDArray[np.int64], two: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the matched places of both, ascending."""
    rises = np.zeros((len(one) + 1, (len(two) + 7) // 8), np.uint8)
    above = np.zeros(len(two) + 1, np.int32)
    for row, item in enumerate(one, start=1):
        best = above.copy()
        best[1:] = np.maximum(above[1:], above[:-1] + (two == item))
        above = np.maximum.accumulate(best)
        rises[row] = np.packbits(np.diff(above) > 0)
    at, to = [], []
    row, column = len(one), len(two)
    while row and column:
        # A length that does not rise here is reached without this item of the second sequence;
        # one that rises in the row above too, without this item of the first.
        if not rises[row, (column - 1) >> 3] >> (7 - (column - 1 & 7)) & 1:
            column -= 1
        elif one[row - 1] == two[column - 1]:
            row, column = row - 1, column - 1
            at.append(row)
            to.append(column)
        else:
            row -= 1
    return np.array(at[::-1], np.int64), np.array(to[::-1], np.int64)
