"""Layers whose entries lie in one storage, so that a step scores and drops in all of them at once.

A decode step of a small model is short; what is done once a layer costs mostly the calls.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.layer_cache import LayerCache
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.rerotation import Rerotation


class StackedEntries(Entries):
    """The entries of all heads of several layers; each layer's own remain a view of them."""

    def __init__(self, parts: Sequence[Entries]) -> None:
        """Move what the layers hold, equally much in each, into one storage."""
        self.parts = tuple(parts)
        self.buffers, self.counts, self.starts, self.regions = {}, [], [], []
        for part in parts:
            part.move_to_front()
        for name in list(parts[0].buffers):
            self.buffers[name] = torch.cat([part.buffers.pop(name) for part in parts])
        rows = len(self.buffers["keys"]) // len(parts)
        for number, part in enumerate(parts):
            part.buffers = self.buffers
            self.counts += part.counts
            self.starts += [number * rows + start for start in part.starts]
            self.regions += [(number * rows + first, size) for first, size in part.regions]
        self._share()

    def open(self, positions: Tensor) -> None:
        """Make room in all layers; each of them fills its own."""
        super().open(positions)
        self._share()

    def keep(self, kept: Sequence[Tensor]) -> list[Tensor]:
        """Drop in all layers what is not kept."""
        dropped = super().keep(kept)
        self._share()
        return dropped

    def _share(self) -> None:
        """Point the layers' own entries at where they lie now."""
        groups = len(self.counts) // len(self.parts)
        for number, part in enumerate(self.parts):
            own = slice(number * groups, (number + 1) * groups)
            part.counts, part.starts = self.counts[own], self.starts[own]
            part.regions = self.regions[own]


def stack_layers(
    layers: Sequence[LayerCache], policy: Policy, rerotation: Rerotation
) -> LayerCache | None:
    """Return the layers as one with all their heads; None where they must be treated singly.

    Args:
        layers: those in which the policy acts.
        policy: of the run.
        rerotation: of the run.
    """
    if not policy.batches_layers or policy.forms or len(layers) < 2:
        return None
    first = layers[0]
    alike = all(_like(cache, first) for cache in layers)
    turning = {rerotation.rotary[cache.layer] for cache in layers} if rerotation.rotary else set()
    if not alike or len(turning) > 1:
        return None
    entries = StackedEntries([cache.entries for cache in layers])
    heads = first.heads * len(layers)
    return replace(first, entries=entries, heads=heads, stacked=len(layers), queries=None)


def _like(cache: LayerCache, first: LayerCache) -> bool:
    """Return whether a layer holds as much as the first, at the same place."""
    keys, those = cache.entries.buffers["keys"], first.entries.buffers["keys"]
    sizes = (cache.budget, cache.heads, cache.entries.counts, keys.shape, keys.device)
    expected = (first.budget, first.heads, first.entries.counts, those.shape, those.device)
    return sizes == expected and cache.entries.even
