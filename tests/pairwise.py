"""Few of many combinations that still meet in every pair of values: a covering array."""

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, product
from typing import Any

Row = tuple[Any, ...]


def covering(rows: Iterable[Row], *views: Callable[..., object]) -> list[Row]:
    """Return rows, chosen greedily, among which every value of every view is met.

    Args:
        rows: combinations that make sense.
        views: functions of a row's values to what must be met; none for all pairs of columns.
    """
    rows = list(rows)
    if not views:
        views = tuple(_columns(*pair) for pair in combinations(range(len(rows[0])), 2))
    met = [{(n, repr(view(*row))) for n, view in enumerate(views)} for row in rows]
    missing, chosen = set[tuple[int, str]]().union(*met), []
    while missing:
        best = max(range(len(rows)), key=lambda at: len(met[at] & missing))
        missing -= met[best]
        chosen.append(best)
    return [rows[at] for at in sorted(chosen)]


def pairwise(*columns: Sequence[Any]) -> list[Row]:
    """Return combinations in which every two values of two columns meet at least once.

    Of (a, b), (0, 1) and (x, y) four are enough: a0x, a1y, b0y, b1x.
    """
    return covering(product(*columns))


def _columns(one: int, other: int) -> Callable[..., object]:
    return lambda *row: (row[one], row[other])
