"""What an attribution method declares; everything else about it is derived from that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of

if TYPE_CHECKING:
    from tokenarium.backend.attribution.game import Game

Needs = Literal["passes", "gradients", "attention"]
"""What a method asks of the model: its probabilities, its gradients, or its attention weights."""

Change = Literal["delete", "mask", "replace", "zero_value"]
"""Units are taken out and later tokens close up; or stay where they are, unseen by other tokens; or
are replaced by tokens that the model finds likely there; or their values are zero in every layer's
attention, the weights being as they were."""


@dataclass(frozen=True)
class Attribution:
    """The scores of U units; higher made the target likelier."""

    scores: NDArray[np.float64]
    """[U]"""
    low: NDArray[np.float64] | None = None
    """[U] lower end of the 95 % interval, of a method that draws at random."""
    high: NDArray[np.float64] | None = None
    """[U] upper end."""
    notes: tuple[str, ...] = ()
    """What must be known of these scores, such as that sampling did not converge."""
    parts: NDArray[np.float64] | None = None
    """[L, H + 1] what each head, and last the MLP, of each layer did, where a method says it."""
    rest: Mapping[str, float] = field(default_factory=dict)
    """What no part did, by name; with ``parts`` it sums to what is explained."""


class Attributor(Method):
    """One way to score units of a text; subclassing registers it, its fields are its parameters.

    One that scores a unit by how much likelier the target is with that unit alone::

        class Alone(Attributor):
            slug = "alone"
            title = "One unit alone"
            explanation = "Leaves one unit in the text and deletes the others."
            paper = "none; a baseline"
            needs = "passes"
            unit = "nats"

            def passes(self, units, tokens):
                return units + 1

            def attribute(self, game):
                alone = game.values(np.eye(len(game.units), dtype=bool))
                nothing = game.values(np.zeros((1, len(game.units)), dtype=bool))
                return Attribution(alone - nothing)

    Requests and stored runs are checked against subclasses, so they import torch inside functions.
    """

    registry: ClassVar[Registry[type["Attributor"]]] = Registry(
        "attributor", modules_of("tokenarium.backend.attribution.methods")
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
    needs: ClassVar[Needs]
    """What it asks of the model."""
    unit: ClassVar[str] = ""
    """Unit of the scores: nats where they are differences of log probability, else none."""
    signed: ClassVar[bool] = True
    """Whether a score can be below zero: a unit that made the target less likely."""

    def passes(self, units: int, tokens: int) -> int:
        """Return how many texts the model reads, at most, for so many units and tokens."""
        raise NotImplementedError(f"{self.slug} does not say how many texts it reads")

    def attribute(self, game: "Game") -> Attribution:
        """Return the scores of the units.

        Args:
            game: the text, its units, and the log probability of the target with units changed.
        Raises:
            ValueError: if the text or the model does not allow it.
            Cancelled: if the run was cancelled.
        """
        raise NotImplementedError(f"{self.slug} does not override attribute")
