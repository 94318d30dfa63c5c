"""What each part of a model writes once it is cut out, and what the target loses by that."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.attribution.target import Target
from tokenarium.backend.observe.overwriting import Overwriter, Site, Write

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Falls:
    """By draw D; one where nothing is drawn."""

    head: NDArray[np.float64]
    """[D, L, H]; NaN where a layer has fewer heads."""
    attention: NDArray[np.float64]
    """[D, L]"""
    mlp: NDArray[np.float64]
    """[D, L]"""
    layer: NDArray[np.float64]
    """[D, L]"""


class Cutter:
    """Cuts parts out of a reading of a text.

    Args:
        reading: the text.
        instead: readings that parts are taken from; none for ``mean`` and ``zero``.
        zero: whether a part writes nothing, rather than its mean over the text.
        target: whose log probability is looked at.
        random: draws the sets of the check.
    """

    def __init__(
        self,
        reading: Overwriter,
        instead: Sequence[Overwriter],
        target: Target,
        random: np.random.Generator,
        *,
        zero: bool,
    ) -> None:
        self.reading, self.target, self.random = reading, target, random
        self.instead, self._zero = instead, zero
        self.draws = max(1, len(instead))
        self.heads = tuple(
            (layer, head) for layer, out in sorted(reading.heads.items())
            for head in range(out.shape[1])
        )  # fmt: skip
        """Layer and number of every head."""

    @property
    def whole(self) -> float:
        """v of the text."""
        return float(self.target.log_probability(self.reading.logits))

    def values(self, kept: Flags) -> NDArray[np.float64]:
        """Return [N] v with the heads cut out that are not kept [N, heads], the mean over draws."""
        rows = [
            [self._write("head", *self.heads[number], draw) for number in np.flatnonzero(~row)]
            for row in kept
            for draw in range(self.draws)
        ]
        found: NDArray[np.float64] = self._value(rows).reshape(len(kept), self.draws).mean(1)
        return found

    def falls(self) -> Falls:
        """Return what the target loses without each part."""
        layers = range(len(self.reading.loaded.layers))
        parts: list[list[tuple[Site, int, int]]] = [[("head", *head)] for head in self.heads]
        parts += [[("attention", layer, 0)] for layer in layers]
        parts += [[("mlp", layer, 0)] for layer in layers]
        parts += [[("attention", layer, 0), ("mlp", layer, 0)] for layer in layers]
        rows = [
            [self._write(*site, draw) for site in part]
            for draw in range(self.draws)
            for part in parts
        ]
        falls = (self.whole - self._value(rows)).reshape(self.draws, len(parts))
        count = len(layers)
        by_head, attention, mlp, layer = np.split(
            falls, len(self.heads) + np.arange(3) * count, axis=1
        )
        most = max(head for _, head in self.heads) + 1
        table = np.full((self.draws, count, most), np.nan)
        for number, (at, head) in enumerate(self.heads):
            table[:, at, head] = by_head[:, number]
        return Falls(table, attention, mlp, layer)

    def _value(self, rows: Sequence[Sequence[Write]]) -> NDArray[np.float64]:
        return self.reading.read(rows, self.target.log_probability)

    def _write(self, site: Site, layer: int, head: int, draw: int) -> Write:
        reading = self.instead[draw] if self.instead else self.reading
        heads = site == "head"
        values = reading.heads[layer][:, head] if heads else reading.wrote[site, layer]
        if not self.instead:
            values = values.mean(0, keepdim=True) * (0.0 if self._zero else 1.0)
        return Write(site, layer, values, head=head)
