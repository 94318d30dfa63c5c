"""What one layer's cache holds: keys, values, where they stood, and numbers policies keep."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kernels.compact_kv import compact_kv

ROOM = 32
"""Entries a head may gain before its buffers grow; they count as held memory."""


class Entries:
    """The cache of one layer: G heads, each with entries of its own, in the order of positions.

    Buffers are [N, ...] for all heads together; head g's entries are the rows
    [starts[g], starts[g] + counts[g]). Named numbers travel with the entries.
    """

    def __init__(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Begin with the same entries in every head.

        Args:
            keys: [G, T, D], after position encoding.
            values: [G, T, Dv].
            positions: [T], original positions, ascending.
        """
        groups, length, _ = keys.shape
        self.counts: list[int] = [length] * groups
        self.starts: list[int] = [g * length for g in range(groups)]
        self._room: list[int] = [length] * groups
        self.buffers: dict[str, Tensor] = {
            "keys": keys.reshape(groups * length, -1).contiguous(),
            "values": values.reshape(groups * length, -1).contiguous(),
            "positions": positions.to(torch.int32).repeat(groups),
        }

    @property
    def groups(self) -> int:
        """G, key-value heads."""
        return len(self.counts)

    @property
    def even(self) -> bool:
        """Whether all heads hold equally many entries."""
        return len(set(self.counts)) == 1

    @property
    def held_bytes(self) -> int:
        """Bytes of the storage behind keys, values and positions, room to grow included."""
        kept = (self.buffers[name] for name in ("keys", "values", "positions"))
        return sum(buffer.untyped_storage().nbytes() for buffer in kept)

    def head(self, name: str, g: int) -> Tensor:
        """Return the rows [S_g, ...] of one head: keys, values, positions or a named number."""
        return self.buffers[name][self.starts[g] : self.starts[g] + self.counts[g]]

    def rows(self, name: str) -> Tensor:
        """Return [G, S, ...] of an even cache; for a ragged one, 0 after each head's last entry."""
        buffer = self.buffers[name]
        if self.even and len(set(self._room)) == 1:
            rectangle = buffer.view(self.groups, self._room[0], *buffer.shape[1:])
            return rectangle[:, : self.counts[0]]
        padded = buffer.new_zeros(self.groups, max(self.counts), *buffer.shape[1:])
        for g, count in enumerate(self.counts):
            padded[g, :count] = self.head(name, g)
        return padded

    def held(self) -> Tensor:
        """Return [G, S] bool: true where ``rows`` has an entry."""
        device = self.buffers["keys"].device
        counts = torch.tensor(self.counts, device=device)[:, None]
        return torch.arange(max(self.counts), device=device) < counts

    def put(self, name: str, values: Tensor) -> None:
        """Set a number per entry from [G, S], as ``rows`` returns it."""
        if name not in self.buffers:
            size = len(self.buffers["keys"])
            self.buffers[name] = values.new_zeros(size, dtype=torch.float32)
        for g, count in enumerate(self.counts):
            self.head(name, g).copy_(values[g, :count])

    def append(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Add n entries to every head; numbers of new entries are 0.

        Args:
            keys: [G, n, D].
            values: [G, n, Dv].
            positions: [n], each above those held.
        """
        new = keys.shape[1]
        if any(count + new > room for count, room in zip(self.counts, self._room, strict=True)):
            self._resize([count + new + ROOM for count in self.counts])
        shared = positions.to(torch.int32).expand(self.groups, -1)
        fresh = {"keys": keys, "values": values, "positions": shared}
        for name, buffer in self.buffers.items():
            for g, (start, count) in enumerate(zip(self.starts, self.counts, strict=True)):
                place = slice(start + count, start + count + new)
                buffer[place] = fresh[name][g] if name in fresh else 0
        self.counts = [count + new for count in self.counts]

    def keep(self, kept: Sequence[Tensor]) -> None:
        """Drop every entry but those at the ascending indices ``kept`` [n_g] of each head."""
        counts = [len(rows) for rows in kept]
        if any(room - count > 2 * ROOM for count, room in zip(counts, self._room, strict=True)):
            self._resize([count + ROOM for count in counts], kept)
        else:
            for buffer in self.buffers.values():
                compact_kv(buffer, self.starts, kept)
        self.counts = counts

    def _resize(self, room: list[int], kept: Sequence[Tensor] | None = None) -> None:
        """Move to buffers with other room, taking along what is kept; the old ones are freed."""
        starts = [sum(room[:g]) for g in range(len(room))]
        for name, buffer in self.buffers.items():
            grown = buffer.new_zeros(sum(room), *buffer.shape[1:])
            for g, start in enumerate(starts):
                rows = self.head(name, g) if kept is None else self.head(name, g)[kept[g]]
                grown[start : start + len(rows)] = rows
            self.buffers[name] = grown
        self.starts, self._room = starts, room
