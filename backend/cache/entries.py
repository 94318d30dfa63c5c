"""What one layer's cache holds: keys, values, where they stood, and numbers policies keep."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenarium.backend.cache.kept_indices import AllBut
from tokenarium.kernels.compact_kv import close_gaps, compact_kv

LEAST_ROOM, ROOM_SHARE = 8, 32
"""A head has room for 1/32 more entries, at least 8, before it moves; they count as the head's."""


def room(count: int) -> int:
    """Return how many more entries a head has room for when it is laid out with ``count``."""
    return max(LEAST_ROOM, count // ROOM_SHARE)


class Entries:
    """The cache of one layer: G heads, each with entries of its own, in the order of positions.

    Buffers are [N, ...] for all heads together; head g's entries are the rows
    [starts[g], starts[g] + counts[g]). Named numbers travel with the entries. A head's entries lie
    somewhere in its region of the buffers, so that dropping an early entry moves few of them.
    """

    def __init__(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Begin with the same entries in every head.

        Args:
            keys: [G, T, D], after position encoding.
            values: [G, T, Dv].
            positions: [T], original positions, ascending.
        """
        groups, length, _ = keys.shape
        size = length + room(length)
        self.counts: list[int] = [length] * groups
        self.regions = [(g * size, size) for g in range(groups)]
        self.starts: list[int] = [start for start, _ in self.regions]
        self.buffers: dict[str, Tensor] = {}
        shared = positions.to(torch.int32).expand(groups, -1)
        for name, given in (("keys", keys), ("values", values), ("positions", shared)):
            buffer = given.new_zeros(groups, size, *given.shape[2:])
            buffer[:, :length] = given
            self.buffers[name] = buffer.flatten(0, 1)

    @property
    def groups(self) -> int:
        """G, key-value heads."""
        return len(self.counts)

    @property
    def even(self) -> bool:
        """Whether all heads hold equally many entries."""
        return len(set(self.counts)) == 1

    @property
    def nbytes(self) -> int:
        """Bytes of the storage behind all buffers: room to grow and policies' numbers too.

        Where layers share a storage, each counts its own rows.
        """
        stored = sum(buffer.untyped_storage().nbytes() for buffer in self.buffers.values())
        return stored * self._rows() // self._length()

    def attended(self, name: str) -> Tensor:
        """Return keys [N, D] or values [N, Dv] of all heads as attention reads them."""
        return self.buffers[name]

    def head(self, name: str, g: int) -> Tensor:
        """Return the rows [S_g, ...] of one head: keys, values, positions or a named number."""
        return self.buffers[name][self.starts[g] : self.starts[g] + self.counts[g]]

    def rows(self, name: str) -> Tensor:
        """Return [G, S, ...] of an even cache; for a ragged one, 0 after each head's last entry."""
        if self.aligned():
            return self._rectangle(name)
        buffer = self.buffers[name]
        padded = buffer.new_zeros(self.groups, max(self.counts), *buffer.shape[1:])
        for g, count in enumerate(self.counts):
            padded[g, :count] = self.head(name, g)
        return padded

    def present(self) -> Tensor:
        """Return [G, S] bool: true where ``rows`` has an entry."""
        device = self.buffers["positions"].device
        counts = torch.tensor(self.counts, device=device)[:, None]
        return torch.arange(max(self.counts), device=device) < counts

    def width(self, name: str) -> int:
        """Return D of the keys or Dv of the values."""
        return self.buffers[name].shape[1]

    def put(self, name: str, values: Tensor) -> None:
        """Set a number per entry from [G, S], as ``rows`` returns it."""
        if name not in self.buffers:
            size = self._length()
            self.buffers[name] = values.new_zeros(size, dtype=torch.float32)
        if self.aligned():
            self._rectangle(name).copy_(values)
            return
        for g, count in enumerate(self.counts):
            self.head(name, g).copy_(values[g, :count])

    def append(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Add n entries to every head; numbers of new entries are 0.

        Args:
            keys: [G, n, D].
            values: [G, n, Dv].
            positions: [n], each above those before.
        """
        self.open(positions)
        self.fill(keys, values)

    def open(self, positions: Tensor) -> None:
        """Make n entries at ``positions`` [n] in every head; ``fill`` brings what they hold."""
        new = len(positions)
        self._make_room(new)
        self.counts = [count + new for count in self.counts]
        for name in self.buffers:
            if name in ("keys", "values"):
                continue
            for rows in self._newest(name, new):
                if name == "positions":
                    rows.copy_(positions)
                else:
                    rows.zero_()

    def fill(self, keys: Tensor, values: Tensor) -> None:
        """Set the n newest entries of every head to keys [G, n, D] and values [G, n, Dv]."""
        for name, given in (("keys", keys), ("values", values)):
            newest = self._newest(name, given.shape[1])
            if len(newest) == 1:
                newest[0].copy_(given)
                continue
            for rows, own in zip(newest, given, strict=True):
                rows.copy_(own)

    def _newest(self, name: str, new: int) -> list[Tensor]:
        """View the newest rows: as [G, new, ...] where heads are aligned, else [new, ...] each."""
        if self.aligned():
            return [self._rectangle(name, self.counts[0] - new)]
        return [self.head(name, g)[count - new :] for g, count in enumerate(self.counts)]

    def keep(self, kept: Sequence[Tensor]) -> list[Tensor]:
        """Drop every entry but those at the ascending indices ``kept`` [n_g] of each head.

        Returns: the original positions [m_g] of what each head dropped, ascending.
        """
        assert self._rows() == self._length(), "layers that are stacked drop together"
        if isinstance(kept, AllBut) and kept.gone.device.type == "cpu" and self.aligned():
            return self._leave_out(kept.gone)
        counts = [len(rows) for rows in kept]
        if counts == self.counts:
            return [rows[:0] for rows in kept]
        if self.aligned() and len(set(counts)) == 1:
            return self._keep_evenly(torch.stack(tuple(kept)))
        dropped = []
        for g, rows in enumerate(kept):
            gone = torch.ones(self.counts[g], dtype=torch.bool, device=rows.device)
            gone[rows] = False
            dropped.append(self.head("positions", g)[gone])
        if self._too_roomy(counts):
            self._resize([count + room(count) for count in counts], kept)
        else:
            for buffer in self.buffers.values():
                compact_kv(buffer, self.starts, kept)
        self.counts = counts
        return dropped

    def forget_oldest(self, count: int) -> None:
        """Drop the ``count`` oldest entries of every head; nothing moves."""
        self.starts = [start + count for start in self.starts]
        self.counts = [own - count for own in self.counts]

    def forget_newest(self, count: int) -> None:
        """Drop the ``count`` newest entries of every head, as if they had never been added."""
        self.counts = [own - count for own in self.counts]

    def _leave_out(self, gone: Tensor) -> list[Tensor]:
        """Drop the ascending entries ``gone`` [G, d], as few in every head."""
        dropped = self._rectangle("positions").gather(1, gone)
        count, by = self.counts[0], gone.shape[1]
        rows = gone.tolist()
        up = sum(own[-1] + 1 - by for own in rows) < sum(count - by - own[0] for own in rows)
        for buffer in self.buffers.values():
            close_gaps(buffer, self.starts, count, rows, up=up)
        if up:
            self.starts = [start + by for start in self.starts]
        self.counts = [count - by] * self.groups
        return list(dropped)

    def _keep_evenly(self, kept: Tensor) -> list[Tensor]:
        """Drop as many entries from every head, moving what lies before or after them together."""
        count, left = self.counts[0], kept.shape[1]
        gone = torch.ones(self.groups, count, dtype=torch.bool, device=kept.device)
        gone.scatter_(1, kept, value=False)
        rows = gone.nonzero()[:, 1].view(self.groups, count - left)
        dropped = list(self._rectangle("positions").gather(1, rows))
        if self._too_roomy([left] * self.groups):
            self._resize([left + room(left)] * self.groups, list(kept))
        else:
            first, last = (int(edge) for edge in rows.aminmax())
            down, up = left - first, last + 1 - (count - left)  # rows that would move
            if down <= up:
                starts = [start + first for start in self.starts]
                self._move(starts, kept[:, first:] - first, starts)
            else:
                by = count - left
                places = [start + by for start in self.starts]
                self._move(self.starts, kept[:, :up], places)
                self.starts = places
        self.counts = [left] * self.groups
        return dropped

    def _move(self, starts: list[int], kept: Tensor, places: list[int]) -> None:
        if kept.shape[1]:
            for buffer in self.buffers.values():
                compact_kv(buffer, starts, kept, places)

    def _rows(self) -> int:
        """Return the rows of the buffers that are these heads'."""
        return sum(size for _, size in self.regions)

    def _length(self) -> int:
        """Return N, the rows of all buffers."""
        return len(self.buffers["positions"])

    def aligned(self) -> bool:
        """Whether all heads hold equally many entries at the same place of equal regions."""
        (begin, size), start, count = self.regions[0], self.starts[0], self.counts[0]
        heads = range(len(self.regions))
        return (
            self.counts == [count] * len(heads)
            and self.starts == [start + g * size for g in heads]
            and self.regions == [(begin + g * size, size) for g in heads]
        )

    def _rectangle(self, name: str, oldest: int = 0) -> Tensor:
        """View the entries of all heads from the ``oldest``-th on as [G, n, ...]."""
        buffer = self.buffers[name]
        row, *steps = buffer.stride()
        shape = (len(self.counts), self.counts[0] - oldest, *buffer.shape[1:])
        return buffer.as_strided(
            shape, (self.regions[0][1] * row, row, *steps), (self.starts[0] + oldest) * row
        )

    def _make_room(self, new: int) -> None:
        """Let every head grow by ``new``: to the front of its region, else into a larger one."""
        regions = list(zip(self.regions, self.starts, self.counts, strict=True))
        if all(start + n + new <= first + size for (first, size), start, n in regions):
            return
        if any(n + new > size for (_, size), _, n in regions):
            self._resize([n + new + room(n + new) for n in self.counts])
        else:
            self.move_to_front()

    def move_to_front(self) -> None:
        """Move every head's entries to the front of its region."""
        fronts = [first for first, _ in self.regions]
        if fronts == self.starts:
            return
        device = self.buffers["positions"].device
        for buffer in self.buffers.values():
            kept = [torch.arange(count, device=device) for count in self.counts]
            every = torch.stack(kept) if self.aligned() else kept
            compact_kv(buffer, self.starts, every, fronts)
        self.starts = fronts

    def _too_roomy(self, counts: list[int]) -> bool:
        sizes = zip(counts, self.regions, strict=True)
        return any(size - count > 2 * room(count) for count, (_, size) in sizes)

    def _resize(self, sizes: list[int], kept: Sequence[Tensor] | None = None) -> None:
        """Move to buffers of other sizes, taking along what is kept; the old ones are freed."""
        starts = [sum(sizes[:g]) for g in range(len(sizes))]
        for name, buffer in self.buffers.items():
            grown = buffer.new_zeros(sum(sizes), *buffer.shape[1:])
            for g, start in enumerate(starts):
                rows = self.head(name, g) if kept is None else self.head(name, g)[kept[g]]
                grown[start : start + len(rows)] = rows
            self.buffers[name] = grown
        self.starts, self.regions = list(starts), list(zip(starts, sizes, strict=True))
