"""How queries and keys are cut for wanted statistics: the same for all layers of a text."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats import plan
from tokenarium.kernels.attention_stats.declaration import Axis, Want
from tokenarium.kernels.attention_stats.sums import FORGOTTEN
from tokenarium.kernels.attention_stats.tiles import causal_pairs


@dataclass(frozen=True)
class Pieces:
    """Queries between two cuts are a piece: it lies in one segment and one row of tiles.

    ``tile_rows`` and ``segment_of`` give those of each piece (-1: outside of the grid);
    ``last_piece`` is the first of the ``last`` queries. ``factors`` [n, T] are f^(T - 1 - i).
    ``pairs`` [rows, columns] counts the causal pairs of each tile, NaN where there is none.
    """

    want: Want
    queries: int
    cuts: tuple[int, ...]
    cut_at: Tensor
    tile_rows: Tensor
    segment_of: Tensor
    key_edges: Tensor
    columns: Tensor
    diagonals: Tensor
    factors: Tensor
    last_piece: int
    pairs: Tensor | None

    def within(self, start: int, stop: int) -> tuple[int, int]:
        """Return the first piece with a query of [start, stop), and the one after the last."""
        want = self.want
        if not (want.received or want.last or want.segments or want.tiles):
            return 0, 0
        return bisect_right(self.cuts, start) - 1, bisect_left(self.cuts, stop)

    def lasting(self, stop: int) -> list[int]:
        """Return the factors that have not forgotten all queries before ``stop``."""
        back = self.queries - stop
        return [n for n, f in enumerate(self.want.decay) if f**back > FORGOTTEN]


@lru_cache(maxsize=8)
@torch.inference_mode()
def pieces(want: Want, queries: int, offset: int) -> Pieces:
    """Cut T queries, the first of which stands at key ``offset``."""
    cuts = plan.cuts(want, queries, offset)
    back = torch.arange(queries - 1, -1, -1, dtype=torch.float64)
    decay = torch.tensor(want.decay, dtype=torch.float64)
    grid, pairs = want.tiles, None
    if grid is not None:
        pairs = causal_pairs(grid, torch.device("cpu")).float()
        pairs.masked_fill_(pairs == 0, math.nan)
    return Pieces(
        want=want,
        queries=queries,
        cuts=cuts,
        cut_at=_integers(cuts),
        tile_rows=_integers(_row(grid.queries, cut + offset) if grid else -1 for cut in cuts[:-1]),
        segment_of=_integers(cut * want.segments // queries for cut in cuts[:-1]),
        key_edges=_integers(grid.keys.edges if grid else ()),
        columns=_integers(want.columns),
        diagonals=_integers(want.diagonals),
        factors=(decay[:, None] ** back).float(),
        last_piece=bisect_left(cuts, queries - want.last),
        pairs=pairs,
    )


def _integers(values: Iterable[int]) -> Tensor:
    return torch.tensor(tuple(values), dtype=torch.int64)


def _row(axis: Axis, position: int) -> int:
    if not axis.start <= position < axis.stop:
        return -1
    return (position - axis.start) * axis.tiles // (axis.stop - axis.start)
