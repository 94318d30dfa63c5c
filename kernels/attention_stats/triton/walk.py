"""How a pass over the keys walks down the queries: in pieces that no edge of a sum cuts."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats.declaration import Axis

SHORT = 32
"""Pieces up to this long are read in blocks of as many queries: larger ones would be half empty."""


@dataclass(frozen=True)
class Course:
    """The queries of a layer, the blocks of keys that they pass, and the edges that cut them.

    ``rows`` are the first query and one after the last; ``tiles`` cuts queries counted from the
    first of the layer, as ``segments`` and the beginning of the last queries do. Blocks of
    ``block_keys`` keys begin at ``first_key``, and query 0 stands at ``offset``.
    """

    rows: tuple[int, int]
    queries: int
    segments: int
    last_from: int
    tiles: Axis | None
    offset: int
    window: int | None
    first_key: int
    block_keys: int
    count: int

    def cuts(self) -> list[int]:
        """Return where pieces begin, and one after the last: ascending, within the rows."""
        low, high = self.rows
        edges = {low, high, self.last_from}
        edges.update(_edges(self.queries, self.segments))
        if self.tiles is not None:
            edges.update(self.tiles.edges)
        return sorted(edge for edge in edges if low <= edge <= high)

    def short(self) -> bool:
        """Whether most pieces are so short that blocks of few queries are enough."""
        cuts = self.cuts()
        return (cuts[-1] - cuts[0]) <= SHORT * (len(cuts) - 1)


@dataclass(frozen=True, eq=False)
class Walk:
    """Blocks of queries in their order, and which of them each block of keys needs."""

    pieces: Tensor
    """[n, 4] int32: a block's first query and one after its last, then its segment and its row of
    tiles, each doubled and 1 added where the block ends it; -1 where it lies in none."""
    spans: Tensor
    """[count, 3] int32 for each block of keys: its first block of queries, the first of which every
    query sees every key, and one after the last."""
    order: Tensor
    """[n b] int64 the queries of all blocks, b each; the number of queries where there is none."""
    plain: bool
    """Whether these are all queries in their order."""


@lru_cache(maxsize=64)
def walk(course: Course, block_queries: int, device: torch.device) -> Walk:
    """Return the blocks of queries in their order, and which of them each block of keys needs."""
    cuts = course.cuts()
    segments = _edges(course.queries, course.segments)
    tiles = None if course.tiles is None else course.tiles.edges
    pieces = [
        (first, min(first + block_queries, stop))
        for begin, stop in pairwise(cuts)
        for first in range(begin, stop, block_queries)
    ]
    table = [
        (first, stop, _place(segments, first, stop), _place(tiles, first, stop))
        for first, stop in pieces
    ]
    firsts, stops = ([piece[side] for piece in pieces] for side in (0, 1))
    spans = []
    for number in range(course.count):
        oldest = course.first_key + number * course.block_keys
        newest = oldest + course.block_keys - 1
        begin = bisect_right(stops, oldest - course.offset)
        end = len(pieces)
        if course.window is not None:
            end = max(begin, bisect_left(firsts, newest + course.window - course.offset))
        whole = min(max(begin, bisect_left(firsts, newest - course.offset)), end)
        spans.append((begin, whole, end))
    rows = torch.tensor([first for first, _ in pieces], dtype=torch.int64)[:, None]
    ends = torch.tensor([stop for _, stop in pieces], dtype=torch.int64)[:, None]
    rows = rows + torch.arange(block_queries)
    order = torch.where(rows < ends, rows, course.queries).flatten()
    plain = torch.equal(order, torch.arange(course.queries))
    return Walk(
        pieces=torch.tensor(table or [(0,) * 4], dtype=torch.int32).to(device),
        spans=torch.tensor(spans, dtype=torch.int32).to(device),
        order=order.to(device),
        plain=plain,
    )


def _edges(length: int, parts: int) -> tuple[int, ...]:
    return tuple(-(-a * length // parts) for a in range(parts + 1)) if parts else ()


def _place(edges: tuple[int, ...] | None, first: int, stop: int) -> int:
    """Return twice the part that [first, stop) lies in, and 1 more where it ends it; -1 outside."""
    if not edges or first < edges[0] or stop > edges[-1]:
        return -1
    part = bisect_right(edges, first) - 1
    return 2 * part + (stop == edges[part + 1])
