"""Two neighbouring layers that share the directions of their keys and values.

An older entry's key is its length times a direction that both layers have in common, between their
own directions on the sphere (MiniCache: Liu et al., 2024, arXiv:2405.14366); entries whose
directions are furthest apart stay whole in both.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.packed_entries import PackedEntries, newest_of
from tokenarium.backend.cache.storage_plan import StoragePlan

_STRAIGHT = 1e-6
"""Sine of an angle below which directions count as the same, or as opposite."""


@dataclass(frozen=True)
class SharedPart:
    """Keys or values of the n oldest entries of a pair of layers, G heads."""

    directions: Tensor
    """[G, n, D], of length 1."""
    lengths: Tensor
    """[2, G, n] float32, of the lower and of the upper layer."""
    apart: Tensor
    """[G, a] int32, ascending: entries that stay whole."""
    whole: Tensor
    """[2, G, a, D] those, of both layers."""

    @staticmethod
    def of(lower: Tensor, upper: Tensor, apart: Tensor, share: float) -> "SharedPart":
        """Merge rows [G, n, D] of two layers.

        Args:
            apart: [G, a] ascending indices of rows that stay whole.
            share: where the direction lies between the lower layer's, 0, and the upper's, 1.
        """
        both = torch.stack((lower, upper))
        at = apart[None, ..., None].expand(2, -1, -1, both.shape[3])
        lengths = both.float().norm(dim=3)
        units = both.float() / lengths.clamp(min=torch.finfo(torch.float32).tiny)[..., None]
        between = spherical(units[0], units[1], share).to(lower.dtype)
        return SharedPart(between, lengths, apart.to(torch.int32), both.gather(2, at))

    def of_layer(self, side: int, g: int) -> Tensor:
        """Return [n, D] what a head of the lower (0) or upper (1) layer holds."""
        found = self.directions[g].float() * self.lengths[side, g, :, None]
        found = found.to(self.directions.dtype)
        found[self.apart[g].long()] = self.whole[side, g]
        return found

    def nbytes(self, *, directions: bool) -> int:
        """Return the bytes of one of the layers, with those that both have or without."""
        own = (self.lengths.nbytes + self.whole.nbytes) // 2
        return own + directions * (self.directions.nbytes + self.apart.nbytes)


def spherical(lower: Tensor, upper: Tensor, share: float) -> Tensor:
    """Return [..., D] the unit vectors at a share of the way from ``lower`` to ``upper``.

    Where both are the same it is that one; where they are opposite, there is no way between them,
    and it is the nearer one.
    """
    angle = angles(lower, upper)[..., None]
    sine = angle.sin()
    straight = sine < _STRAIGHT
    divisor = sine.masked_fill(straight, 1)
    between = ((1 - share) * angle).sin() * lower + (share * angle).sin() * upper
    nearer = lower if share < 1 / 2 else upper
    return torch.where(straight, nearer, between / divisor)


def angles(lower: Tensor, upper: Tensor) -> Tensor:
    """Return [...] the angles between unit vectors [..., D], in radians."""
    # Exact also where the cosine is nearly 1: 2 atan(|a - b| / |a + b|).
    return 2 * torch.atan2((lower - upper).norm(dim=-1), (lower + upper).norm(dim=-1))


class PairedEntries(PackedEntries):
    """One layer's entries, of which the oldest are held together with another layer's."""

    def __init__(
        self, entries: Entries, plan: StoragePlan, parts: dict[str, SharedPart], side: int
    ) -> None:
        """Take over what a layer holds after its prompt.

        Args:
            entries: of the layer, as they are.
            plan: how many of the newest stay whole.
            parts: keys and values of the others, in both layers.
            side: 0 for the lower layer, 1 for the upper one.
        """
        self.counts, self.starts = list(entries.counts), list(entries.starts)
        self.regions = list(entries.regions)
        whole = ("keys", "values")
        self.buffers = {name: own for name, own in entries.buffers.items() if name not in whole}
        self.plan, self.channels, self.scales = plan, None, None
        self.sizes = {name: entries.buffers[name].shape[1] for name in whole}
        self.dtype = entries.buffers["keys"].dtype
        self.parts, self.side = parts, side
        shared = parts["keys"].directions.shape[1]
        self.newest = newest_of(entries, [count - shared for count in self.counts])

    @property
    def nbytes(self) -> int:
        """Bytes of its own; of the directions the lower layer counts the keys', the upper the
        values'."""
        own = super().nbytes
        for side, name in enumerate(("keys", "values")):
            own += self.parts[name].nbytes(directions=side == self.side)
        return own

    def _unpacked(self, name: str) -> Tensor:
        """Return [N, D] what shared rows stand for; 0 in the others."""
        device = self.buffers["positions"].device
        found = torch.zeros(self._length(), self.sizes[name], dtype=self.dtype, device=device)
        for g, start in enumerate(self.starts):
            rows = self.parts[name].of_layer(self.side, g)
            found[start : start + len(rows)] = rows
        return found


def paired(
    lower: Entries, upper: Entries, plan: StoragePlan, apart: dict[str, Tensor]
) -> tuple[PairedEntries, PairedEntries]:
    """Return the entries of two layers that read the same prompt, their older ones merged.

    Args:
        lower: of the layer before, G heads of as many entries.
        plan: how many of the newest stay whole, and where directions lie.
        apart: [G, a] by ``keys`` and ``values``, what stays whole of the others.
    """
    old = plan.at_once(lower.counts[0])
    parts = {
        name: SharedPart.of(
            lower.rows(name)[:, :old], upper.rows(name)[:, :old], apart[name], plan.between
        )
        for name in ("keys", "values")
    }
    return PairedEntries(lower, plan, parts, 0), PairedEntries(upper, plan, parts, 1)
