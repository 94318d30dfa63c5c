"""Which slice of a result an array is that was drawn: found by its numbers, every one compared."""

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend import Result
from tokenarium.ui.why.number import Source

MOST_NUMBERS = 2**22
"""Of a field; larger ones are not searched."""
Drawn = NDArray[np.float64]


def slice_of(result: Result, drawn: Drawn, at: tuple[int, ...]) -> Source | None:
    """Return the place of a result's field that one number of a drawn array is.

    The array must be the beginning of a slice, number by number, and of no other of fields with as
    few axes; else several places could be meant: a sink score is also received by a first token.
    An array of fewer than two different numbers says nothing.

    Args:
        result: of the run that is drawn.
        drawn: [n] or [r, c], as the figure has it.
        at: which number of it is asked for.
    """
    if len(np.unique(drawn[np.isfinite(drawn)])) < 2 or drawn.ndim not in (1, 2):
        return None
    found: set[tuple[str, tuple[int, ...]]] = set()
    for name in result.quantities():
        values = getattr(result, name, None)
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
            continue
        if drawn.ndim <= values.ndim <= 5 and values.size <= MOST_NUMBERS:
            found |= {(name, index) for index in _places(values, drawn, at)}
    least = min((len(index) for _, index in found), default=0)
    fewest = [Source(name, index) for name, index in found if len(index) == least]
    return fewest[0] if len(fewest) == 1 else None


def _places(
    values: NDArray[np.generic], drawn: Drawn, at: tuple[int, ...]
) -> Iterator[tuple[int, ...]]:
    """Give the index of the number in each slice of ``values`` that begins with ``drawn``."""
    for axes in permutations(range(values.ndim), drawn.ndim):
        if any(values.shape[a] < n for a, n in zip(axes, drawn.shape, strict=True)):
            continue
        moved = np.moveaxis(values, axes, range(-drawn.ndim, 0))
        first: Any = (..., *(slice(n) for n in drawn.shape))
        cut = moved[first].astype(np.float64)
        same = (cut == drawn) | (np.isnan(cut) & np.isnan(drawn))
        others = [axis for axis in range(values.ndim) if axis not in axes]
        for index in np.argwhere(same.all(axis=tuple(range(-drawn.ndim, 0)))):
            place = dict(zip(others, index.tolist(), strict=True))
            place |= dict(zip(axes, at, strict=True))
            yield tuple(place[axis] for axis in range(values.ndim))
