"""Keep the first tokens and a window of the newest, none of them too far away."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Chooses, NullScores, Positions, Protected, Scope

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView
    from tokenarium.backend.models.loaded import LoadedModel
    from tokenarium.backend.observe.layer import Change


class LMInfinite(Policy):
    """A lambda-shaped mask, for the prompt too; distances above the cap count as the cap."""

    slug: ClassVar[str] = "lm_infinite"
    title: ClassVar[str] = "LM-Infinite"
    explanation: ClassVar[str] = (
        "Keeps the first tokens and a window of the newest, and lets no distance grow beyond what "
        "the model was trained on."
    )
    paper: ClassVar[str] = "Han et al., 2023, arXiv:2308.16137"
    differs: ClassVar[str] = "the optional return of middle tokens in some layers is left out"
    scope: ClassVar[Scope] = "model"
    chooses: ClassVar[Chooses] = "recency"
    null_scores: ClassVar[NullScores] = "same"
    batches_layers: ClassVar[bool] = True

    positions: Positions = Field(
        "capped", description="Where kept keys stand; the paper caps their distance."
    )
    first: int = Field(
        10,
        ge=0,
        le=4096,
        description="First tokens of the text that always stay; the authors use 10 and 100.",
    )
    largest: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Largest distance in tokens; 0 takes the model's trained context, as the "
        "paper does.",
    )

    def smallest_budget(self) -> int:
        """Return the first tokens and one of window."""
        return self.first + 1

    def distance_cap(self) -> int | None:
        """Return the largest distance, where it is set."""
        return self.largest or None

    def patches_prefill(
        self, loaded: "LoadedModel", budget: int, length: int
    ) -> "dict[int, Change]":
        """Hide the middle from the prompt's queries as it will be hidden from later ones."""
        from tokenarium.backend.observe.lambda_mask import LambdaMask

        cap = self.largest or loaded.context - 1
        capped = self.positions == "capped" and length - 1 > cap
        # A decode step sees the budget and the newest token, which is dropped from it afterwards.
        if length <= budget + 1 and not capped:
            return {}
        mask = LambdaMask(first=self.first, last=budget + 1 - self.first, cap=cap)
        if capped:
            return mask.changes(loaded)
        return {layer: mask.change(None) for layer in range(len(loaded.layers))}

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the first tokens."""
        return Protected(self.first)

    def scores(self, view: "LayerView") -> "Tensor":
        """Return the positions: newer is kept."""
        return view.positions.float()
