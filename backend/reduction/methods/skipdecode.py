"""Fewer layers for later tokens: a staircase that leaves every needed key in the cache."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tokenarium.backend.reduction.reduction import Point, Reduced, Reduction

if TYPE_CHECKING:
    from tokenarium.backend.reduction.bench import Bench

Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
STAIRS, EVEN, EARLY = "staircase", "as many for every token", "staircase from above"


class SkipDecode(Reduction):
    """Which token runs which layer, [L, T]."""

    slug: ClassVar[str] = "skipdecode"
    title: ClassVar[str] = "Staircase of layers (SkipDecode)"
    explanation: ClassVar[str] = (
        "Lets later tokens run fewer layers, the lower middle ones left out, so that what they "
        "attend to is always there: each layer they run was run by all tokens before them."
    )
    paper: ClassVar[str] = "Del Corro et al., 2023, arXiv:2307.02628"
    differs: ClassVar[str] = "the model was not fine-tuned for it; a prompt is on the staircase too"
    cost_title: ClassVar[str] = "layers computed, over all tokens"
    series: ClassVar[Mapping[str, str]] = {
        STAIRS: "The layers at the bottom that warm up, and the upper ones, fewer for each token.",
        EVEN: "The same layers, as many for every token as the staircase has on average.",
        EARLY: "The same staircase with the upper layers left out, as early exit does.",
    }
    least: float = Field(
        0.8,
        ge=0.1,
        le=1.0,
        title="Layers of the last token",
        description="Share of the layers that the last token runs; the first runs all of them.",
    )
    warm_up: int = Field(
        1,
        ge=0,
        le=64,
        title="Warm-up layers",
        description="Layers at the bottom that every token runs.",
    )

    def readings(self, layers: int) -> float:  # noqa: ARG002
        """Return one for each share and curve."""
        return 3 * len(self._shares)

    @property
    def _shares(self) -> list[float]:
        return sorted({*SHARES, self.least})

    def reduce(self, bench: "Bench") -> Reduced:
        """Return the loss for every end of the staircase."""
        length = len(bench.held_out.ids)
        points = []
        for share in self._shares:
            depths = staircase(bench.layers, length, share)
            even = np.full(length, round(float(depths.mean())))
            runs = {
                STAIRS: upper(bench.layers, depths, self.warm_up),
                EVEN: upper(bench.layers, even, self.warm_up),
                EARLY: np.arange(bench.layers)[:, None] < depths[None],
            }
            for name, active in runs.items():
                points.append(self._read(bench, name, share, active))
        at = self._shares.index(self.least) * 3
        return Reduced(tuple(points), at, (at + 1, at + 2))

    def _read(self, bench: "Bench", name: str, share: float, active: Flags) -> Point:
        import torch

        text = bench.held_out
        states = text.states
        for number, row in enumerate(active):
            if row.any():
                runs = torch.from_numpy(row).to(states.device)[None, :, None]
                states = torch.where(runs, text.layer(number, states), states)
        ran = active.mean(1)
        computed = np.stack([ran, ran], 1)
        last = int(active[:, -1].sum())
        label = f"down to {last} of {len(active)} layers"
        return Point(
            name, label, float(ran.mean()), text.token_nats(states)[0], computed, setting=share
        )


def staircase(layers: int, length: int, least: float) -> Integers:
    """Return [T] how many layers each token runs: all at first, then evenly fewer."""
    down = np.linspace(0.0, 1.0, length) * (1 - least) * layers
    found: Integers = np.rint(layers - down).astype(np.int64)
    return found


def upper(layers: int, depths: Integers, warm_up: int) -> Flags:
    """Return [L, T] whether a token runs a layer: the first ones, and the upper ones."""
    number = np.arange(layers)[:, None]
    warm = np.minimum(depths, warm_up)[None]
    found: Flags = (number < warm) | (number >= layers - (depths[None] - warm))
    return found
