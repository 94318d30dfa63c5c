"""From each block's share of the tiles it overlaps to whole tiles."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats.declaration import Axis, Grid
from tokenarium.kernels.attention_stats.triton.blocks import power_of_two


@dataclass(frozen=True)
class Shares:
    """Where a grid's columns lie in consecutive blocks of ``width`` keys from ``first`` on.

    ``queries`` are the positions [start, stop) of the queries there are.
    """

    grid: Grid
    first: int
    width: int
    blocks: int
    queries: tuple[int, int]

    @property
    def tiles_a_block(self) -> int:
        """Slots a block needs, one for each column it overlaps, as a power of two."""
        axis = self.grid.keys
        narrowest = (axis.stop - axis.start) // axis.tiles
        return power_of_two(max(2, min(axis.tiles, (self.width - 2) // narrowest + 2)))

    def pool(self, sums: Tensor, peaks: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and maxima [H, rows, columns] over causal pairs, NaN where there is none.

        Args:
            sums: [H, rows, blocks, slots] sums of weights; peaks: their maxima.
        """
        index, real, pairs = _tables(self, sums.device)
        cells = (sums.flatten(2)[:, :, index] * real).sum(-1)
        # A share that is not there counts as 0, which no weight is below.
        highest = (peaks.flatten(2)[:, :, index] * real).amax(-1)
        none = pairs == 0
        nan = float("nan")
        return (cells / pairs).masked_fill(none, nan), highest.masked_fill(none, nan)


@lru_cache(maxsize=8)
def _tables(shares: Shares, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the shares of each column [columns, most], which are real, and pairs by tile."""
    axis = shares.grid.keys
    edges = torch.tensor(axis.edges)
    low = (edges[:-1] - shares.first) // shares.width
    high = (edges[1:] - 1 - shares.first) // shares.width
    block = low[:, None] + torch.arange(int((high - low).max()) + 1)
    real = (block <= high[:, None]) & (block < shares.blocks)
    starts = (shares.first + block * shares.width).clamp_min(axis.start)
    slot = torch.arange(axis.tiles)[:, None] - _tile(axis, starts)
    index = torch.where(real, block * shares.tiles_a_block + slot, 0)
    pairs = _causal_pairs(shares.grid, *shares.queries)
    return index.to(device), real.to(device), pairs.to(device)


def _tile(axis: Axis, position: Tensor) -> Tensor:
    return (position - axis.start) * axis.tiles // (axis.stop - axis.start)


def _causal_pairs(grid: Grid, start: int, stop: int) -> Tensor:
    """Pairs with key <= query in each tile, from triangles below its four corners."""
    rows = torch.tensor(grid.queries.edges).clamp(start, stop)
    columns = torch.tensor(grid.keys.edges)
    side = (rows[:, None] - columns).clamp_min(0)
    triangle = side * (side + 1) // 2
    return -triangle.diff(dim=0).diff(dim=1)
