"""Runs of tokens that stood earlier in a text."""

import numpy as np
from numpy.typing import NDArray

MOST = 64
"""Tokens of a run: longer ones are said to be this long."""


def seen_before(
    ids: NDArray[np.int64], places: NDArray[np.int64], last: NDArray[np.integer], n: int
) -> NDArray[np.bool_]:
    """Return [D, k] whether a token ends a run of ``n`` tokens that stood earlier in the text.

    Args:
        ids: [T] the text.
        places: [k] ascending positions.
        last: [D, k] what stands there; the tokens before are the text's own.
        n: of a run.
    """
    found = np.zeros(last.shape, np.bool_)
    after: dict[tuple[int, ...], set[int]] = {}
    wanted = {int(place): column for column, place in enumerate(places)}
    for position in range(n - 1, len(ids)):
        before = tuple(ids[position - n + 1 : position].tolist())
        known = after.setdefault(before, set())
        column = wanted.get(position)
        if column is not None and known:
            found[:, column] = np.isin(last[:, column], list(known))
        known.add(int(ids[position]))
    return found


def longest_before(ids: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return [T] tokens of the longest run that ends at each token and also ends at an earlier one.

    Of [1, 2, 3, 1, 2, 3] it is [0, 0, 0, 1, 2, 3]; at most 64.
    """
    length = len(ids)
    found = np.zeros(length, np.int32)
    same: dict[int, list[int]] = {}
    before: dict[int, int] = {}
    for position, key in enumerate(ids.tolist()):
        # Of every earlier place of the token: how far the runs that end there and here agree.
        here = {place: min(before.get(place - 1, 0) + 1, MOST) for place in same.get(key, ())}
        found[position] = max(here.values(), default=0)
        before = here
        same.setdefault(key, []).append(position)
    return found
