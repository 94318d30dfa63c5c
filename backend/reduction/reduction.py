"""What a way to compute less declares; everything else about it is derived from that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of

if TYPE_CHECKING:
    from tokenarium.backend.reduction.bench import Bench


@dataclass(frozen=True)
class Point:
    """One reduced model, and how well it reads the held-out text of T tokens."""

    series: str
    """To which curve it belongs; one that the method declares."""
    label: str
    """What was cut, in a few words."""
    cost: float
    """What it computes, as a share of the whole model, in the method's unit."""
    nats: NDArray[np.float64]
    """[T - 1] surprisal of each token but the first."""
    computed: NDArray[np.float64]
    """[L, 2] share of the attention and of the MLP of each layer that is computed."""
    setting: float = float("nan")
    """What was asked for, where that is a number."""
    threshold: NDArray[np.float64] | None = None
    """[L] below which activations count as zero."""


@dataclass(frozen=True)
class Reduced:
    """What a method found."""

    points: tuple[Point, ...]
    chosen: int
    """Number of the point that the method is judged by."""
    beside: tuple[int, ...]
    """Numbers of the points that it is compared with."""
    enumerated: int = 0
    """How many reduced models there are, where every one of them was read; else 0."""
    notes: tuple[str, ...] = field(default=())
    """What one might not expect."""


class Reduction(Method):
    """One way to compute less; subclassing registers it, its fields are its parameters.

    One that leaves out a layer::

        class WithoutOne(Reduction):
            slug = "without_one"
            title = "Without one layer"
            explanation = "Leaves out one layer of the model."
            paper = "none; a baseline"
            cost_title = "layers computed"
            series = {"without it": "One layer is left out."}
            layer: int = Field(1, ge=0, le=1000, description="Which layer is left out.")

            def readings(self, layers):
                return 1

            def reduce(self, bench):
                text = bench.held_out
                states = text.states
                for number in range(bench.layers):
                    if number != self.layer:
                        states = text.layer(number, states)
                computed = np.ones((bench.layers, 2))
                computed[self.layer] = 0
                nats = text.token_nats(states)[0]
                share = 1 - 1 / bench.layers
                point = Point("without it", f"layer {self.layer}", share, nats, computed)
                return Reduced((point,), chosen=0, beside=())

    Requests and stored runs are checked against subclasses, so they import torch inside functions.
    """

    registry: ClassVar[Registry[type["Reduction"]]] = Registry(
        "reduction", modules_of("tokenarium.backend.reduction.methods")
    )

    slug: ClassVar[str]
    """Name of the method in requests."""
    title: ClassVar[str]
    """Name of the method for people."""
    explanation: ClassVar[str]
    """What it does and why, in one sentence; shown as the tooltip."""
    paper: ClassVar[str]
    """Authors, year, arXiv id."""
    differs: ClassVar[str] = "no"
    """How this reading differs from the paper."""
    cost_title: ClassVar[str]
    """Of what a share is computed, such as ``layers computed``."""
    series: ClassVar[Mapping[str, str]]
    """Its curves by name, its own first, and what each is in one sentence."""
    exact: ClassVar[str] = ""
    """Which of them is the best that there is, found by trying everything; empty for none."""

    most_tokens: ClassVar[int] = 1024
    """Tokens that it reads of each text at most."""

    def readings(self, layers: int) -> float:
        """Return about how often a text is read, in whole readings of a model of L layers."""
        raise NotImplementedError(f"{self.slug} does not say how often it reads a text")

    def reduce(self, bench: "Bench") -> Reduced:
        """Return reduced models, their costs and how well they read the held-out text.

        Args:
            bench: the calibration and the held-out text, read layer by layer.
        Raises:
            ValueError: if the model does not allow it.
            Cancelled: if the run was cancelled.
        """
        raise NotImplementedError(f"{self.slug} does not override reduce")
