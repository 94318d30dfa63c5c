"""Pooling of attention weights to tiles of uneven sides, exactly."""

from itertools import pairwise

import torch
from torch import Tensor

from kernels.attention_stats.declaration import Axis, Grid


class TileSums:
    """Sums and maxima of the tiles of a grid, added to panel by panel.

    Rows are pooled first, which runs along memory; only then columns, on a tensor smaller by the
    height of a tile.
    """

    def __init__(
        self, grid: Grid, heads: tuple[int, int], offset: int, device: torch.device
    ) -> None:
        self.grid, self.offset = grid, offset
        shape = (*heads, grid.queries.tiles, grid.keys.tiles)
        self.total = torch.zeros(shape, device=device)
        self.highest = torch.zeros(shape, device=device)
        edges = torch.tensor(grid.keys.edges, device=device)
        reach = torch.arange(int(edges.diff().max()), device=device)[:, None]
        self.members = edges[:-1] + reach  # [widest, columns]
        self.real = self.members < edges[1:]
        self.members = torch.minimum(self.members, edges[1:] - 1)

    def add(
        self, weights: Tensor, groups: slice, start: int, oldest: int, received: Tensor | None
    ) -> None:
        """Add a panel of queries from ``start`` over keys from ``oldest``.

        Args:
            weights: [n, per_group, rows, keys].
            received: [n, per_group, S], to which the column sums are added, if given.
        """
        rows, keys = weights.shape[2:]
        first = start + self.offset
        tiles = _overlapped(self.grid.queries, first, first + rows)
        columns = _overlapped(self.grid.keys, oldest, oldest + keys)
        seen = slice(oldest, oldest + keys)
        if tiles.start == tiles.stop or columns.start == columns.stop:
            if received is not None:
                received[..., seen] += column_sums(weights)
            return
        edges = self.grid.queries.edges[tiles.start : tiles.stop + 1]
        cuts = [min(max(edge - first, 0), rows) for edge in edges]
        sums, peaks = _pool_rows(weights, cuts)  # [n, per_group, row tiles, keys]
        if received is not None:
            whole = cuts[0] == 0 and cuts[-1] == rows
            received[..., seen] += sums.sum(2) if whole else column_sums(weights)
        cells = (groups, slice(None), tiles, columns)
        members = self.members[:, columns] - oldest
        real = self.real[:, columns] & (members >= 0) & (members < keys)
        members.clamp_(0, keys - 1)
        self.total[cells] += (_gather(sums, members) * real).sum(-2)
        # A member named twice does not change a maximum.
        peaks = _gather(peaks, members).amax(-2)
        self.highest[cells] = torch.maximum(self.highest[cells], peaks)

    def pooled(self) -> tuple[Tensor, Tensor]:
        """Return means and maxima [H, rows, columns] over causal pairs, NaN where there is none."""
        count = self._causal_pairs()
        none = count == 0
        mean = (self.total / count).masked_fill(none, float("nan"))
        highest = self.highest.masked_fill(none, float("nan"))
        return mean.flatten(0, 1), highest.flatten(0, 1)

    def _causal_pairs(self) -> Tensor:
        """Pairs with key <= query in each tile, from sums of 1 + 2 + ... at its corners."""
        row = torch.tensor(self.grid.queries.edges, device=self.total.device)
        column = torch.tensor(self.grid.keys.edges, device=self.total.device)
        side = (row[:, None] - column).clamp_min(0)
        below = side * (side + 1) // 2
        return (below[1:] - below[:-1]).diff(dim=1).neg()


def column_sums(weights: Tensor) -> Tensor:
    """Sum [n, p, rows, keys] over its rows."""
    return (weights.new_ones(1, weights.shape[2]) @ weights)[:, :, 0]


def _overlapped(axis: Axis, start: int, stop: int) -> slice:
    """Tiles that share a position with [start, stop)."""
    low, high = max(start, axis.start), min(stop, axis.stop)
    if low >= high:
        return slice(0, 0)
    length = axis.stop - axis.start
    first = (low - axis.start) * axis.tiles // length
    return slice(first, (high - 1 - axis.start) * axis.tiles // length + 1)


def _pool_rows(weights: Tensor, cuts: list[int]) -> tuple[Tensor, Tensor]:
    """Sum and maximum of [n, p, rows, keys] over the rows between cuts."""
    heights = {stop - start for start, stop in pairwise(cuts)}
    if len(heights) == 1:
        height = heights.pop()
        equal = weights[:, :, cuts[0] : cuts[-1]].unflatten(2, (-1, height))
        return (weights.new_ones(1, height) @ equal)[..., 0, :], equal.amax(3)
    rows = [weights[:, :, start:stop] for start, stop in pairwise(cuts)]
    sums = [weights.new_ones(1, piece.shape[2]) @ piece for piece in rows]
    return torch.cat(sums, 2), torch.stack([piece.amax(2) for piece in rows], 2)


def _gather(values: Tensor, members: Tensor) -> Tensor:
    """Pick the keys of each column tile: [n, p, m, keys] to [n, p, m, widest, columns]."""
    flat = values.flatten(0, 2)
    picked = flat.gather(1, members.flatten().expand(flat.shape[0], -1))
    return picked.view(*values.shape[:3], *members.shape)
