"""From each block's share of the tiles it overlaps to whole tiles."""

from dataclasses import dataclass
from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from tokenarium.kernels.attention_stats.declaration import Axis, Grid
from tokenarium.kernels.attention_stats.triton.blocks import power_of_two
from tokenarium.kernels.attention_stats.triton.layer import Layer
from tokenarium.kernels.launch import Launch

COLUMNS = 128
"""Most columns of tiles that a program puts together."""
OPTIONS = {"num_warps": 1, "num_stages": 1, "enable_fp_fusion": True}


@triton.jit(do_not_specialize=("rows", "columns", "most", "shares_a_row"))
def pool(
    tile_sums, tile_peaks, index, pairs, mean, highest, rows, columns, most, shares_a_row,
    block_columns: tl.constexpr,
):  # fmt: skip
    """Write means and maxima of a row of tiles; NaN where no query sees a key."""
    row = tl.program_id(1).to(tl.int64) * rows + tl.program_id(0)
    column = tl.program_id(2) * block_columns + tl.arange(0, block_columns)
    inside = column < columns
    total = tl.zeros([block_columns], tl.float32)
    peak = total
    for n in range(most):
        share = tl.load(index + n * columns + column, mask=inside, other=-1)
        at = row * shares_a_row + share
        total += tl.load(tile_sums + at, mask=share >= 0, other=0.0)
        # A share that is not there counts as 0, which no weight is below.
        peak = tl.maximum(peak, tl.load(tile_peaks + at, mask=share >= 0, other=0.0))
    count = tl.load(pairs + tl.program_id(0) * columns + column, mask=inside, other=0.0)
    nan = float("nan")
    at = row * columns + column
    tl.store(mean + at, tl.where(count > 0, total / count, nan), mask=inside)
    tl.store(highest + at, tl.where(count > 0, peak, nan), mask=inside)


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


@dataclass(frozen=True)
class Pooling:
    """The launch and what it writes, means and maxima [H, rows, columns]."""

    launch: Launch
    mean: Tensor
    highest: Tensor


def pool_launch(layer: Layer, shares: Shares, sums: Tensor, peaks: Tensor) -> Pooling:
    """Prepare the pooling of shares [H, rows, blocks, slots]: sums of weights, and their maxima."""
    index, pairs = tables(shares, sums.device)
    rows, columns = shares.grid.queries.tiles, shares.grid.keys.tiles
    mean, highest = layer.empty(rows, columns), layer.empty(rows, columns)
    block = min(COLUMNS, power_of_two(columns))
    arguments = {
        "tile_sums": sums,
        "tile_peaks": peaks,
        "index": index,
        "pairs": pairs,
        "mean": mean,
        "highest": highest,
        "rows": rows,
        "columns": columns,
        "most": len(index),
        "shares_a_row": shares.blocks * shares.tiles_a_block,
        "block_columns": block,
    }
    grid = (rows, layer.heads, triton.cdiv(columns, block))
    return Pooling(Launch(pool, grid, arguments, OPTIONS), mean, highest)


@lru_cache(maxsize=32)
def tables(shares: Shares, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the shares of each column [most, columns], -1 where there are fewer, and pairs."""
    axis = shares.grid.keys
    edges = torch.tensor(axis.edges)
    low = (edges[:-1] - shares.first) // shares.width
    high = (edges[1:] - 1 - shares.first) // shares.width
    block = low[:, None] + torch.arange(int((high - low).max()) + 1)
    real = (block <= high[:, None]) & (block < shares.blocks)
    starts = (shares.first + block * shares.width).clamp_min(axis.start)
    slot = torch.arange(axis.tiles)[:, None] - _tile(axis, starts)
    index = torch.where(real, block * shares.tiles_a_block + slot, -1)
    pairs = _causal_pairs(shares.grid, *shares.queries)
    return index.mT.contiguous().int().to(device), pairs.float().to(device)


def _tile(axis: Axis, position: Tensor) -> Tensor:
    return (position - axis.start) * axis.tiles // (axis.stop - axis.start)


def _causal_pairs(grid: Grid, start: int, stop: int) -> Tensor:
    """Pairs with key <= query in each tile, from triangles below its four corners."""
    rows = torch.tensor(grid.queries.edges).clamp(start, stop)
    columns = torch.tensor(grid.keys.edges)
    side = (rows[:, None] - columns).clamp_min(0)
    triangle = side * (side + 1) // 2
    return -triangle.diff(dim=0).diff(dim=1)
