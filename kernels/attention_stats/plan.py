"""How the queries of one attention layer are cut: into pieces, blocks and jobs."""

from bisect import bisect_left
from collections.abc import Callable

from tokenarium.kernels.attention_stats.declaration import Axis, Want

CHUNKS = 8
"""Jobs per key-value group: a number of its own, so that sums do not depend on the workers."""

STEPS = 8
"""Widths of panels between one power of two and the next."""

Block = tuple[int, int]


def rounded(width: int) -> int:
    """Raise a panel's width to one of few.

    oneDNN compiles a product for every shape it meets, which takes as long as a third of a panel,
    holds about 1 MB for each, and keeps no more than 1,024.
    """
    step = max(1, (1 << (width - 1).bit_length()) // (2 * STEPS))
    return -(-width // step) * step


def widest_margin(width: int) -> int:
    """Return the most that ``rounded`` adds to any width up to this one."""
    return (1 << (width - 1).bit_length()) // (2 * STEPS)


def cuts(want: Want, queries: int, offset: int) -> tuple[int, ...]:
    """Return where a wanted sum over queries begins or ends, from 0 to T: pieces lie between."""
    found = {0, queries, queries - want.last}
    if want.segments:
        found.update(Axis(0, queries, want.segments).edges)
    if want.tiles:
        edges = (edge - offset for edge in want.tiles.queries.edges)
        found.update(edge for edge in edges if 0 < edge < queries)
    return tuple(sorted(found))


def blocks(pieces: tuple[int, ...], most: Callable[[int], int]) -> list[Block]:
    """Cut the queries into blocks of several whole pieces, or of even parts of one.

    Args:
        pieces: the cuts between pieces, from 0 to T.
        most: the most rows of a block that ends at a query.
    """
    found: list[Block] = []
    stop = pieces[-1]
    while stop > 0:
        rows = most(stop)
        at = bisect_left(pieces, stop - rows)
        start = pieces[at]
        if start >= stop:
            tall = stop - pieces[at - 1]
            parts = -(-tall // rows)
            start = stop - -(-tall // parts)
        found.append((start, stop))
        stop = start
    return found[::-1]


def jobs(cut: list[Block]) -> list[list[Block]]:
    """Group blocks into jobs of about equally many queries, the last queries first.

    Under a causal mask those are the longest, and the short ones even out the workers' ends.
    """
    queries = cut[-1][1]
    found: dict[int, list[Block]] = {}
    for block in cut:
        found.setdefault(block[0] * CHUNKS // queries, []).append(block)
    return list(found.values())[::-1]
