"""Counts activations block of queries by block, in memory that grows with the text only."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.kernels.attention_stats import Axis


class Pulse:
    """What T keys went through so far: activations, the last one, and the longest gap.

    ``count``, ``last`` and ``gap`` are [T]; ``cells`` [r, c] counts active pairs.
    """

    def __init__(self, axis: Axis, device: torch.device) -> None:
        length = axis.stop
        self._position = torch.arange(length, dtype=torch.int32, device=device)
        edges = torch.tensor(axis.edges[1:-1], dtype=torch.int32, device=device)
        self._cell = torch.bucketize(self._position, edges, right=True)
        self._active_at = self._position.clone()
        self.count = torch.zeros_like(self._position)
        self.last = torch.full_like(self._position, -1)
        self.gap = torch.zeros_like(self._position)
        self.cells = torch.zeros(axis.tiles, axis.tiles, dtype=torch.float64, device=device)

    def add(self, start: int, active: Tensor) -> None:
        """Go on by some queries.

        Args:
            start: position of the first of them.
            active: [rows, n] true where a query activates a key, for n keys up to the last query.
        """
        queries, keys = self._position[start : start + active.shape[0]], slice(active.shape[1])
        by_key = active.T.contiguous()  # [n, rows]; running maxima are fast along rows in memory
        when = torch.where(by_key, queries, -1)
        latest = torch.cat((self._active_at[keys, None], when), 1).cummax(1).values
        gaps = (queries - latest[:, :-1]).masked_fill_(~by_key, 0)
        self.gap[keys] = torch.maximum(self.gap[keys], gaps.amax(1))
        self._active_at[keys] = latest[:, -1]
        self.last[keys] = torch.maximum(self.last[keys], when.amax(1))
        self.count[keys] += by_key.sum(1, dtype=torch.int32)
        columns = torch.zeros(self.cells.shape[1], len(queries), device=active.device)
        columns.index_add_(0, self._cell[keys], by_key.float())
        self.cells.index_add_(0, self._cell[queries], columns.T.double())


def causal_pairs(edges: tuple[int, ...]) -> NDArray[np.int64]:
    """Return [n, n] how many pairs j <= i each cell holds, rows being queries i.

    Args:
        edges: n + 1 positions; cell a covers [edges[a], edges[a + 1]) on either side.
    """
    queries, keys = np.meshgrid(edges, edges, indexing="ij")
    # Pairs with i < n and j < m: a triangle up to the smaller of both, then full rows.
    low = np.minimum(queries, keys).astype(np.int64)
    below = low * (low + 1) // 2 + (queries - low) * keys
    pairs: NDArray[np.int64] = np.diff(np.diff(below, axis=0), axis=1)
    return pairs
