"""Keep tokens drawn at random."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.cache.kvpress_call import KVPressCall, press
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Chooses, Need, Protected

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView


class RandomChoice(Policy):
    """Chance: a method that is no better has found nothing."""

    slug: ClassVar[str] = "random"
    title: ClassVar[str] = "Random"
    explanation: ClassVar[str] = "Keeps tokens drawn at random: the floor for every other method."
    paper: ClassVar[str] = "none; a baseline"
    chooses: ClassVar[Chooses] = "chance"
    needs: ClassVar[frozenset[Need]] = frozenset({"random"})
    batches_layers: ClassVar[bool] = True

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the newest token, which has not been used yet."""
        return Protected(newest=1)

    def kvpress(self, compression_ratio: str) -> KVPressCall:
        """Return its nearest press."""
        return press("RandomPress", compression_ratio, seed=0)

    def scores(self, view: "LayerView") -> "Tensor":
        """Return fresh random numbers."""
        import torch

        shape = view.positions.shape
        return torch.rand(shape, generator=view.random).to(view.device)
