"""Pooling of attention weights to tiles of uneven sides, exactly."""

from itertools import pairwise

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats.declaration import Axis, Grid


class Tiles:
    """Sums and maxima of the tiles of a grid.

    Rows are pooled first, panel by panel, which runs along memory; only then columns, on tensors
    smaller by the height of a tile.
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

    def rows(self, start: int, stop: int) -> slice:
        """Tile rows with a query of [start, stop)."""
        return _overlapped(self.grid.queries, start + self.offset, stop + self.offset)

    def row_peaks(self, weights: Tensor, start: int) -> tuple[slice, Tensor]:
        """Return the tile rows of a panel and their maxima over its queries [n, p, m, keys].

        Args:
            weights: [n, per_group, rows, keys] of the queries from ``start``.
        """
        rows, count = self.rows(start, start + weights.shape[2]), weights.shape[2]
        edges = self.grid.queries.edges[rows.start : rows.stop + 1]
        cuts = [min(max(edge - self.offset - start, 0), count) for edge in edges]
        heights = {high - low for low, high in pairwise(cuts)}
        if len(heights) == 1:
            whole = weights[:, :, cuts[0] : cuts[-1]]
            return rows, whole.unflatten(2, (-1, heights.pop())).amax(3)
        pieces = [weights[:, :, low:high].amax(2) for low, high in pairwise(cuts)]
        return rows, torch.stack(pieces, 2) if pieces else weights[:, :, :0]

    def add_sums(self, groups: slice, starts: Tensor, keys: tuple[int, int], sums: Tensor) -> None:
        """Add pieces of queries, none of which crosses the edge of a tile.

        Args:
            starts: [m], the first query of each piece.
            keys: the first key, and the one after the last.
            sums: [n, per_group, m, keys], each piece summed over its queries.
        """
        axis = self.grid.queries
        positions = starts + self.offset
        inside = (positions >= axis.start) & (positions < axis.stop)
        row = (positions[inside] - axis.start) * axis.tiles // (axis.stop - axis.start)
        columns, members, real = self._members(keys)
        pooled = (_gather(sums[:, :, inside], members) * real).sum(-2)
        self.total[groups, ..., columns].index_add_(2, row, pooled)

    def add_peaks(self, groups: slice, rows: slice, keys: tuple[int, int], peaks: Tensor) -> None:
        """Raise the maxima of tile rows to peaks [n, per_group, m, keys]."""
        columns, members, _ = self._members(keys)
        cells = self.highest[groups, :, rows, columns]
        # A key taken twice does not change a maximum.
        torch.maximum(cells, _gather(peaks, members).amax(-2), out=cells)

    def _members(self, keys: tuple[int, int]) -> tuple[slice, Tensor, Tensor]:
        """Return the tile columns with a key of a range, their keys in it, and which are real."""
        columns, count = _overlapped(self.grid.keys, *keys), keys[1] - keys[0]
        members = self.members[:, columns] - keys[0]
        real = self.real[:, columns] & (members >= 0) & (members < count)
        return columns, members.clamp_(0, count - 1), real

    def pooled(self) -> tuple[Tensor, Tensor]:
        """Return means and maxima [H, rows, columns] over causal pairs, NaN where there is none."""
        count = causal_pairs(self.grid, self.total.device)
        none = count == 0
        mean = (self.total / count).masked_fill(none, float("nan"))
        highest = self.highest.masked_fill(none, float("nan"))
        return mean.flatten(0, 1), highest.flatten(0, 1)


def causal_pairs(grid: Grid, device: torch.device) -> Tensor:
    """Pairs with key <= query in each tile [rows, columns], from 1 + 2 + ... at its corners."""
    row = torch.tensor(grid.queries.edges, device=device)
    column = torch.tensor(grid.keys.edges, device=device)
    side = (row[:, None] - column).clamp_min(0)
    below = side * (side + 1) // 2
    return (below[1:] - below[:-1]).diff(dim=1).neg()


def _overlapped(axis: Axis, start: int, stop: int) -> slice:
    """Tiles that share a position with [start, stop)."""
    low, high = max(start, axis.start), min(stop, axis.stop)
    if low >= high:
        return slice(0, 0)
    length = axis.stop - axis.start
    first = (low - axis.start) * axis.tiles // length
    return slice(first, (high - 1 - axis.start) * axis.tiles // length + 1)


def _gather(values: Tensor, members: Tensor) -> Tensor:
    """Pick the keys of each column tile: [n, p, m, keys] to [n, p, m, widest, columns]."""
    flat = values.flatten(0, 2)
    picked = flat.gather(1, members.flatten().expand(flat.shape[0], -1))
    return picked.view(*values.shape[:3], *members.shape)
