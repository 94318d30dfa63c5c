"""Keep tokens drawn at random."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Chooses

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_cache import LayerCache


class RandomChoice(Policy):
    """Chance: a method that is no better has found nothing."""

    slug: ClassVar[str] = "random"
    title: ClassVar[str] = "Random"
    explanation: ClassVar[str] = "Keeps tokens drawn at random: the floor for every other method."
    paper: ClassVar[str] = "none; a baseline"
    chooses: ClassVar[Chooses] = "chance"
    joins: ClassVar[bool] = True

    def protects(self, held: "LayerCache") -> tuple[int, int]:
        """Return the newest token, which has not been used yet."""
        return 0, 1

    def scores(self, held: "LayerCache") -> "Tensor":
        """Return fresh random numbers."""
        import torch

        shape = held.entries.rows("positions").shape
        return torch.rand(shape, generator=held.random).to(held.entries.buffers["keys"].device)
