"""Entries whose older keys and values lie in another form; the newest stay as they are."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenarium.backend.cache import quantiser
from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.storage_plan import StoragePlan


class PackedEntries(Entries):
    """Entries of which only the newest have keys and values of their own.

    Rows are those of ``Entries``. What packed entries hold lies in buffers of other names, what the
    newest hold in entries of their own; ``attended`` puts both together for one step.
    """

    def __init__(self, entries: Entries, plan: StoragePlan, channels: Tensor | None = None) -> None:
        """Take over what a layer holds after its prompt, and pack all but the newest.

        Args:
            entries: left as they are.
            plan: how the older ones are stored.
            channels: [G, C] ascending channels of the keys that are kept; None for all.
        """
        self.counts, self.starts = list(entries.counts), list(entries.starts)
        self.regions = list(entries.regions)
        whole = ("keys", "values")
        self.buffers = {name: own for name, own in entries.buffers.items() if name not in whole}
        self.plan, self.channels = plan, channels
        self.sizes = {name: entries.buffers[name].shape[1] for name in whole}
        self.dtype = entries.buffers["keys"].dtype
        self.scales: Tensor | None = None  # [groups, C, 2] float16, by group of tokens
        old = [plan.at_once(count) for count in self.counts]
        for g, count in enumerate(old):
            step = plan.together or max(1, count)
            for first in range(0, count, step):
                rows = slice(first, first + step)
                self._pack(g, first, *(entries.head(name, g)[rows] for name in whole))
        self.newest = newest_of(
            entries, [n - gone for n, gone in zip(self.counts, old, strict=True)]
        )

    @property
    def packed(self) -> list[int]:
        """How many entries of each head are packed: its oldest."""
        both = zip(self.counts, self.newest.counts, strict=True)
        return [count - newest for count, newest in both]

    @property
    def nbytes(self) -> int:
        """Bytes of packed entries with their scales, of the newest, and of room to grow."""
        scales = 0 if self.scales is None else self.scales.untyped_storage().nbytes()
        kept = 0 if self.channels is None else self.channels.untyped_storage().nbytes()
        return super().nbytes + scales + kept + self.newest.nbytes

    def attended(self, name: str) -> Tensor:
        """Return keys or values of all heads, as they are without packing: [N, D]."""
        found = self._unpacked(name)
        for g, (first, own) in enumerate(zip(self.packed, self.newest.counts, strict=True)):
            at = self.starts[g] + first
            found[at : at + own] = self.newest.head(name, g)
        return found

    def width(self, name: str) -> int:
        """Return D of the keys or Dv of the values, as they are attended."""
        return self.sizes[name]

    def head(self, name: str, g: int) -> Tensor:
        """Return the rows [S_g, ...] of one head."""
        if name in self.sizes:
            return self.attended(name)[self.starts[g] : self.starts[g] + self.counts[g]]
        return super().head(name, g)

    def rows(self, name: str) -> Tensor:
        """Return [G, S, ...]; 0 after the last entry of a shorter head."""
        if name not in self.sizes:
            return super().rows(name)
        buffer = self.attended(name)
        found = buffer.new_zeros(self.groups, max(self.counts), buffer.shape[1])
        for g, (start, count) in enumerate(zip(self.starts, self.counts, strict=True)):
            found[g, :count] = buffer[start : start + count]
        return found

    def open(self, positions: Tensor) -> None:
        """Make n entries at ``positions`` [n] in every head; they are among the newest."""
        super().open(positions)
        self.newest.open(positions)

    def fill(self, keys: Tensor, values: Tensor) -> None:
        """Set the newest entries, and pack older ones where enough of them are there."""
        self.newest.fill(keys, values)
        if not self.plan.together:
            return
        for g, count in enumerate(self.newest.counts):
            self._pack_more(g, self.plan.at_once(count))

    def keep(self, kept: Sequence[Tensor]) -> list[Tensor]:
        """Drop every entry but those at ``kept``; packed ones are not packed anew."""
        rows = list(kept)
        both = zip(rows, self.packed, strict=True)
        self.newest.keep([own[own >= first] - first for own, first in both])
        return super().keep(rows)

    def forget_oldest(self, count: int) -> None:
        """Refuse: what a window frees is not packed."""
        raise AssertionError("layers with a window of the model are not packed")

    def forget_newest(self, count: int) -> None:
        """Refuse: what was packed cannot be undone."""
        raise AssertionError("packed entries cannot go back")

    def _pack_more(self, g: int, count: int) -> None:
        """Pack the ``count`` oldest of a head's newest entries."""
        if count:
            self._forget_groups()
        for first in range(0, count, self.plan.together):
            rows = slice(first, first + self.plan.together)
            own = [self.newest.head(name, g)[rows] for name in ("keys", "values")]
            self._pack(g, self.packed[g] + first, *own)
        if count:
            self.newest.starts[g] += count
            self.newest.counts[g] -= count

    def _pack(self, g: int, first: int, keys: Tensor, values: Tensor) -> None:
        """Store keys [n, D] and values [n, Dv] of a head's entries from ``first`` on."""
        plan, channels = self.plan, self.channels
        if channels is not None:
            keys = keys[:, channels[g]]
        rows = {"key_parts": keys, "value_parts": values}
        if plan.bits is not None:
            group, bits = max(1, plan.together), plan.bits
            codes, scales = quantiser.quantised(keys.mT, bits, len(keys))
            of_values, value_scales = quantiser.quantised(values, bits, group)
            rows = {
                "key_parts": quantiser.in_bytes(codes.mT, bits),
                "value_parts": quantiser.in_bytes(of_values, bits),
                "value_scales": value_scales.flatten(1),
                "key_group": self._new_group(scales[:, 0]).expand(len(keys)),
            }
        at = self.starts[g] + first
        for name, own in rows.items():
            if name not in self.buffers:
                self.buffers[name] = own.new_zeros(self._length(), *own.shape[1:])
            self.buffers[name][at : at + len(own)] = own

    def _new_group(self, scales: Tensor) -> Tensor:
        """Keep the scales [C, 2] of one more group of tokens; return its number as [1] int32."""
        before = scales.new_zeros(0, *scales.shape) if self.scales is None else self.scales
        self.scales = torch.cat((before, scales[None]))
        return torch.tensor([len(before)], dtype=torch.int32, device=scales.device)

    def _forget_groups(self) -> None:
        """Forget the scales of groups of which no entry is left."""
        if self.scales is None:
            return
        numbers = self.buffers["key_group"]
        heads = [
            numbers[start : start + n] for start, n in zip(self.starts, self.packed, strict=True)
        ]
        used = torch.cat(heads).unique().long()
        if len(used) == len(self.scales):
            return
        again = torch.zeros(len(self.scales), dtype=torch.int32, device=numbers.device)
        again[used] = torch.arange(len(used), dtype=torch.int32, device=numbers.device)
        numbers.copy_(again[numbers.long()])
        self.scales = self.scales[used]

    def _unpacked(self, name: str) -> Tensor:
        """Return [N, D] what packed rows stand for; anything in the others."""
        parts = self.buffers.get("key_parts" if name == "keys" else "value_parts")
        length, size = self._length(), self.sizes[name]
        if parts is None:
            return torch.zeros(
                length, size, dtype=self.dtype, device=self.buffers["positions"].device
            )
        channels = self.channels if name == "keys" else None
        if self.plan.bits is not None:
            parts = self._numbers(name, parts, size if channels is None else channels.shape[1])
        if channels is None:
            return parts.clone() if parts is self.buffers.get("value_parts") else parts
        found = parts.new_zeros(length, size)
        for g, (first, rows) in enumerate(self.regions):
            own = slice(first, first + rows)
            found[own, channels[g]] = parts[own]
        return found

    def _numbers(self, name: str, parts: Tensor, columns: int) -> Tensor:
        bits = self.plan.bits
        assert bits is not None
        codes = quantiser.out_of_bytes(parts, bits, columns)
        if name == "values":
            scales = self.buffers["value_scales"].unflatten(1, (-1, 2))
            return quantiser.dequantised(codes, scales, self.plan.together).to(self.dtype)
        assert self.scales is not None
        each = self.scales[self.buffers["key_group"].long()]
        return quantiser.dequantised(codes, each, 1).to(self.dtype)


def newest_of(entries: Entries, counts: list[int]) -> Entries:
    """Return the last ``counts`` entries of each head, as entries of their own."""
    most = max(counts)
    every = {}
    for name in ("keys", "values", "positions"):
        buffer = entries.buffers[name]
        found = every[name] = buffer.new_zeros(len(counts), most, *buffer.shape[1:])
        for g, count in enumerate(counts):
            own = entries.head(name, g)
            found[g, most - count :] = own[len(own) - count :]
    newest = Entries(every["keys"], every["values"], every["positions"][0])
    for g, count in enumerate(counts):
        at = newest.starts[g]
        newest.buffers["positions"][at : at + most] = every["positions"][g]
        newest.starts[g], newest.counts[g] = at + most - count, count
    return newest
