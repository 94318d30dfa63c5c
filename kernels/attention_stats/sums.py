"""Sums of attention weights over queries: everything that is one number per key.

All of them are linear in the weights, so one product of a few rows with a panel serves them all:
each piece of queries between two cuts is a row, and so is each forgetting factor. What is wanted
over longer stretches (a segment, the last queries, a tile row, the whole text) adds up pieces.
"""

from bisect import bisect_left, bisect_right
from itertools import pairwise
from threading import Lock

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats import plan
from tokenarium.kernels.attention_stats.declaration import Want
from tokenarium.kernels.attention_stats.product import fastest
from tokenarium.kernels.attention_stats.tiles import Tiles

FORGOTTEN = torch.finfo(torch.float32).tiny
"""A factor this small adds nothing to a float32."""
FEW = 2
"""A vector for each of so few rows is faster than one product, which first copies the panel."""


class QuerySums:
    """The wanted sums of all heads [G, per_group, ..., S], to which finished jobs are added."""

    def __init__(
        self,
        want: Want,
        split: tuple[int, int],
        queries: int,
        keys: int,
        offset: int,
        device: torch.device,
    ) -> None:
        self.queries, self.decay, self.per_group = queries, want.decay, split[1]
        self.cuts = plan.cuts(want, queries, offset)
        lengths = torch.tensor([stop - start for start, stop in pairwise(self.cuts)], device=device)
        self.piece = torch.arange(len(lengths), device=device).repeat_interleave(lengths)
        self._starts = torch.tensor(self.cuts[:-1], device=device)
        back = torch.arange(queries - 1, -1, -1, device=device, dtype=torch.float64)
        factors = torch.tensor(want.decay, device=device, dtype=torch.float64)
        self.factors = (factors[:, None] ** back).float()
        self.tiles = Tiles(want.tiles, split, offset, device) if want.tiles else None
        new = self.factors.new_zeros
        self.received = new(*split, keys) if want.received else None
        self.last = new(*split, keys) if want.last else None
        self.segments = new(*split, want.segments, keys) if want.segments else None
        self.decayed = new(*split, len(want.decay), keys) if want.decay else None
        wanted = (self.received, self.last, self.segments, self.tiles)
        self.by_piece = any(sums is not None for sums in wanted)
        self._last_piece = bisect_left(self.cuts, queries - want.last)
        self._lock = Lock()
        self._waiting: dict[tuple[int, int], JobSums] = {}
        self._next = [0] * split[0]

    def close(self, job: "JobSums") -> None:
        """Add a finished job once those before it are added: floats add up in one order only."""
        group = job.groups.start
        with self._lock:
            self._waiting[group, job.order] = job
            while ready := self._waiting.pop((group, self._next[group]), None):
                self._add(ready)
                self._next[group] += 1

    def _add(self, job: "JobSums") -> None:
        seen = slice(*job.keys)
        if self.decayed is not None:
            for n, decayed in zip(job.lasting, job.decayed.unbind(2), strict=True):
                self.decayed[job.groups, :, n, seen] += decayed
        if self.received is not None:
            self.received[job.groups, :, seen] += job.pieces.sum(2)
        if self.last is not None:
            last = job.pieces[:, :, max(0, self._last_piece - job.first) :]
            self.last[job.groups, :, seen] += last.sum(2)
        starts = self._starts[job.first : job.beyond]
        if self.segments is not None:
            segment = starts * self.segments.shape[2] // self.queries
            self.segments[job.groups, ..., seen].index_add_(2, segment, job.pieces)
        if self.tiles is not None:
            self.tiles.add_sums(job.groups, starts, job.keys, job.pieces)
            self.tiles.add_peaks(job.groups, job.tile_rows, job.keys, job.peaks)


class JobSums:
    """The sums of one job, [n, per_group, rows, keys] for its groups and the keys it sees."""

    def __init__(
        self,
        sums: QuerySums,
        groups: slice,
        order: int,
        queries: tuple[int, int],
        keys: tuple[int, int],
    ) -> None:
        """Start from zero.

        Args:
            order: the job's place among those of its groups.
            queries: the first, and the one after the last.
            keys: the first that any query sees, and the one after the last.
        """
        self.groups, self.order, self.keys, self._sums = groups, order, keys, sums
        back = sums.queries - queries[1]
        self.lasting = [n for n, factor in enumerate(sums.decay) if factor**back > FORGOTTEN]
        self.first, self.beyond = _pieces(sums.cuts, *queries) if sums.by_piece else (0, 0)
        self.tile_rows = sums.tiles.rows(*queries) if sums.tiles else slice(0, 0)
        heads, width = (groups.stop - groups.start, sums.per_group), keys[1] - keys[0]
        new = sums.factors.new_zeros
        self.decayed = new(*heads, len(self.lasting), width)
        self.pieces = new(*heads, self.beyond - self.first, width)
        self.peaks = new(*heads, self.tile_rows.stop - self.tile_rows.start, width)

    def add(self, weights: Tensor, start: int, oldest: int) -> None:
        """Add a panel [n, per_group, rows, keys] of the queries from ``start``."""
        sums, stop = self._sums, start + weights.shape[2]
        seen = slice(oldest - self.keys[0], oldest - self.keys[0] + weights.shape[3])
        lasting = sums.factors[self.lasting, start:stop]
        first, beyond = _pieces(sums.cuts, start, stop) if sums.by_piece else (0, 0)
        if len(lasting) + beyond - first:
            pieces = torch.arange(first, beyond, device=weights.device)[:, None]
            inside = (sums.piece[start:stop] == pieces).float()
            added = _product(torch.cat((lasting, inside)), weights)
            self.decayed[..., seen] += added[:, :, : len(lasting)]
            self.pieces[:, :, first - self.first : beyond - self.first, seen] += added[
                :, :, len(lasting) :
            ]
        if sums.tiles is not None:
            rows, peaks = sums.tiles.row_peaks(weights, start)
            known = self.peaks[:, :, rows.start - self.tile_rows.start :, seen][
                :, :, : peaks.shape[2]
            ]
            torch.maximum(known, peaks, out=known)


def _product(rows: Tensor, weights: Tensor) -> Tensor:
    """Return rows [k, r] times each head of weights [n, p, r, keys]."""
    if weights.device.type != "cpu" or len(rows) <= FEW:
        return rows @ weights
    product = fastest()[0]
    flat = torch.stack([product(rows, head.mT) for head in weights.flatten(0, 1)])
    return flat.view(*weights.shape[:2], *flat.shape[1:])


def _pieces(cuts: tuple[int, ...], start: int, stop: int) -> tuple[int, int]:
    """Return the first piece that has a query of [start, stop), and the one after the last."""
    return bisect_right(cuts, start) - 1, bisect_left(cuts, stop)
