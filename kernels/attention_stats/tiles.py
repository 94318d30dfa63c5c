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
        tiles = _overlapped(self.grid.queries, start + self.offset, start + self.offset + rows)
        cuts = [
            min(max(edge - self.offset - start, 0), rows)
            for edge in self.grid.queries.edges[tiles.start : tiles.stop + 1]
        ]
        sums = _row_sums(weights, cuts)  # [n, per_group, row tiles + 1, keys]
        if received is not None:
            received[..., oldest : oldest + keys] += sums[:, :, -1]
        columns = _overlapped(self.grid.keys, oldest, oldest + keys)
        if tiles.start == tiles.stop or columns.start == columns.stop:
            return
        cells = (groups, slice(None), tiles, columns)
        members = self.members[:, columns] - oldest
        real = self.real[:, columns] & (members >= 0) & (members < keys)
        members.clamp_(0, keys - 1)
        self.total[cells] += (_gather(sums[:, :, :-1], members) * real).sum(-2)
        # A member named twice does not change a maximum.
        peaks = _gather(_row_maxima(weights, cuts), members).amax(-2)
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


def _overlapped(axis: Axis, start: int, stop: int) -> slice:
    """Tiles that share a position with [start, stop)."""
    low, high = max(start, axis.start), min(stop, axis.stop)
    if low >= high:
        return slice(0, 0)
    length = axis.stop - axis.start
    first = (low - axis.start) * axis.tiles // length
    return slice(first, (high - 1 - axis.start) * axis.tiles // length + 1)


def _row_sums(weights: Tensor, cuts: list[int]) -> Tensor:
    """Sum [n, p, rows, keys] over the rows between cuts, and over all rows as the last entry."""
    row = torch.arange(weights.shape[2], device=weights.device)
    low = torch.tensor([*cuts[:-1], 0], device=weights.device)[:, None]
    high = torch.tensor([*cuts[1:], weights.shape[2]], device=weights.device)[:, None]
    return ((row >= low) & (row < high)).float() @ weights


def _row_maxima(weights: Tensor, cuts: list[int]) -> Tensor:
    """Maximum of [n, p, rows, keys] over the rows between cuts."""
    heights = {after - before for before, after in pairwise(cuts)}
    if len(heights) == 1:
        return weights[:, :, cuts[0] : cuts[-1]].unflatten(2, (-1, heights.pop())).amax(3)
    starts = torch.tensor(cuts[:-1], device=weights.device)
    ends = torch.tensor(cuts[1:], device=weights.device)
    reach = torch.arange(max(heights), device=weights.device)
    rows = torch.minimum(starts[:, None] + reach, ends[:, None] - 1)
    return weights.index_select(2, rows.flatten()).unflatten(2, rows.shape).amax(3)


def _gather(values: Tensor, members: Tensor) -> Tensor:
    """Pick the keys of each column tile: [n, p, m, keys] to [n, p, m, widest, columns]."""
    flat = values.flatten(0, 2)
    picked = flat.gather(1, members.flatten().expand(flat.shape[0], -1))
    return picked.view(*values.shape[:3], *members.shape)
