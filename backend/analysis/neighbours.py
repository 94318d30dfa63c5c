"""A number of a token beside those of the tokens around it.

Received attention depends on the place: heads that look nearby give the last tokens a high mean,
because the few queries after them are all near. Uniform attention as the baseline does not take
that away; the tokens next to one, which stand in the same place, do.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
REACH = 32
"""Tokens looked at on either side."""


def over_neighbours(values: Floats, reach: int = REACH) -> Floats:
    """Return [T]: each number divided by the median of those around it, itself included.

    Near the end as many tokens are taken before as there are after, so that the steep rise there
    is not mistaken for something about a token; the last token is compared with itself alone.

    Args:
        values: [T], above 0.
        reach: most tokens taken on either side; at least 1.
    Raises: ValueError if reach is below 1.
    """
    if reach < 1:
        raise ValueError(f"reach={reach} compares a token with itself alone: give at least 1")
    length = len(values)
    medians = np.empty(length, np.float64)
    inside = range(reach, length - reach)
    if inside:
        around = sliding_window_view(values, 2 * reach + 1)
        medians[reach : length - reach] = np.median(around, axis=-1)
    for token in (t for t in range(length) if t not in inside):
        after = min(reach, length - 1 - token)
        before = reach if after == reach else after
        medians[token] = np.median(values[max(0, token - before) : token + after + 1])
    return np.asarray(values / medians)
