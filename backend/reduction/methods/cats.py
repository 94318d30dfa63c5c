"""Contextually aware thresholding: small gate activations of the MLPs count as zero."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tokenarium.backend.reduction.reduction import Point, Reduced, Reduction

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.reduction.bench import Bench
    from tokenarium.backend.reduction.stepper import Stepper

SHARES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MOST_VALUES = 1 << 23
"""Activations that quantiles over all layers are taken of; of more, evenly spaced ones."""
BY_LAYER, ALL, RANDOM = "a threshold for each layer", "one threshold for all", "at random"


class Cats(Reduction):
    """Activations [T, C] of a layer's MLP, after their non-linearity; C channels."""

    slug: ClassVar[str] = "cats"
    title: ClassVar[str] = "Thresholded activations (CATS)"
    explanation: ClassVar[str] = (
        "Sets gate activations of every MLP to zero that are smaller than most of its own on a "
        "calibration text, so that their rows of the other two matrices need not be read."
    )
    paper: ClassVar[str] = "Lee et al., 2024, arXiv:2404.08763"
    differs: ClassVar[str] = (
        "the matrices are multiplied whole, so that what is saved is counted, not timed; no "
        "fine-tuning; in an MLP without a gate the activation itself is cut"
    )
    cost_title: ClassVar[str] = "MLP channels computed"
    series: ClassVar[Mapping[str, str]] = {
        BY_LAYER: "CATS: the asked share of each layer's calibration activations is below it.",
        ALL: "The same share of all layers' activations together is below one threshold.",
        RANDOM: "As many activations are zero, drawn without looking at them.",
    }
    sparsity: float = Field(
        0.5,
        ge=0.0,
        le=0.95,
        title="Share of zeros",
        description="Share of a layer's gate activations that are below its threshold on the "
        "calibration text.",
    )

    def readings(self, layers: int) -> float:  # noqa: ARG002
        """Return one of the calibration text, and one for each share and curve."""
        return 1 + 3 * len(self._shares)

    @property
    def _shares(self) -> list[float]:
        return sorted({*SHARES, self.sparsity})

    def reduce(self, bench: "Bench") -> Reduced:
        """Return the loss at every share of zeros, for thresholds and for chance."""
        import torch

        by_layer, pooled = thresholds(bench, self._shares)
        points = []
        for number, share in enumerate(self._shares):
            own, one = by_layer[number], np.full(bench.layers, pooled[number])
            points.append(self._read(bench, BY_LAYER, share, _below(own), own))
            points.append(self._read(bench, ALL, share, _below(one), one))
            draw = torch.Generator(bench.loaded.device).manual_seed(bench.seed)

            def by_chance(
                _: int, found: "Tensor", share: float = share, draw: Any = draw
            ) -> "Tensor":
                drawn = torch.rand(found.shape, generator=draw, device=found.device)
                return drawn < share

            points.append(self._read(bench, RANDOM, share, by_chance, None))
        at = self._shares.index(self.sparsity) * 3
        return Reduced(tuple(points), at, (at + 1, at + 2))

    def _read(
        self,
        bench: "Bench",
        series: str,
        share: float,
        cut: Callable[[int, "Tensor"], "Tensor"],
        threshold: NDArray[np.float64] | None,
    ) -> Point:
        """Read the held-out text with activations cut, and count what was zero."""
        nats, zeros = thresholded(bench, bench.held_out, cut)
        computed = bench.whole
        computed[:, 1] -= zeros
        return Point(
            series, f"{share:.0%} asked", float(computed[:, 1].mean()), nats, computed,
            setting=share, threshold=threshold,
        )  # fmt: skip


def thresholds(
    bench: "Bench", shares: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sizes below which shares of the calibration text's activations are.

    Returns: [S, L] of each layer's own, and [S] of all layers' together; of no share 0, which cuts
        nothing.
    """
    from tokenarium.backend.reduction.bench import hooked

    by_layer: list[NDArray[np.float64]] = []
    kept: list[NDArray[np.float32]] = []
    most = MOST_VALUES // bench.layers

    def see(_: Any, __: Any, given: "Tensor") -> None:
        sizes = given.abs().float().flatten().cpu().numpy()
        by_layer.append(np.quantile(sizes, shares))
        kept.append(sizes[:: -(-len(sizes) // most)])

    modules = bench.activations()
    with hooked(modules, [see] * len(modules)):
        read(bench.calibration)
    cuts = np.array(shares) > 0
    own = np.where(cuts[:, None], np.stack(by_layer, 1), 0.0)
    return own, np.where(cuts, np.quantile(np.concatenate(kept), shares), 0.0)


def thresholded(
    bench: "Bench", text: "Stepper", cut: Callable[[int, "Tensor"], "Tensor"]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read a text with activations cut.

    Args:
        cut: says of a layer and its activations which of them are set to zero.
    Returns: [T - 1] surprisal of each token but the first, and [L] the share that was zero.
    """
    from tokenarium.backend.reduction.bench import hooked

    zeros = np.zeros(bench.layers)

    def hook(layer: int) -> Callable[..., "Tensor"]:
        def change(_: Any, __: Any, given: "Tensor") -> "Tensor":
            left = given.masked_fill(cut(layer, given), 0)
            zeros[layer] = float((left == 0).double().mean())
            return left

        return change

    with hooked(bench.activations(), [hook(layer) for layer in range(bench.layers)]):
        nats = read(text)
    return nats, zeros


def read(text: "Stepper") -> NDArray[np.float64]:
    """Return [T - 1] the surprisal of each token but the first, as the layers now are."""
    states = text.states
    for number in range(len(text.loaded.layers)):
        states = text.layer(number, states)
    found: NDArray[np.float64] = text.token_nats(states)[0]
    return found


def _below(threshold: Sequence[float] | NDArray[np.float64]) -> Callable[[int, "Tensor"], "Tensor"]:
    def cut(layer: int, given: "Tensor") -> "Tensor":
        return given.abs() < float(threshold[layer])

    return cut
