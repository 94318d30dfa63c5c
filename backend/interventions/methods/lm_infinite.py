"""Let every token see the first and the latest tokens only, none of them too far away."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.interventions.declaration import Acts, Intervention

if TYPE_CHECKING:
    from tokenarium.backend.models.loaded import LoadedModel
    from tokenarium.backend.observe.layer import Change


class LMInfinite(Intervention):
    """Query i sees key j if j < first or i - j < last; longer distances count as the cap."""

    slug: ClassVar[str] = "lm_infinite"
    title: ClassVar[str] = "Lambda mask with distance cap (LM-Infinite)"
    explanation: ClassVar[str] = (
        "Shows every token only the first tokens and its latest ones, and lets no distance grow "
        "beyond the cap, so that a model can read past the length it was trained on."
    )
    paper: ClassVar[str] = "Han et al., 2023, arXiv:2308.16137"
    differs: ClassVar[str] = (
        "the optional return of middle tokens in some layers is left out; a layer with a window of "
        "its own keeps it"
    )
    acts: ClassVar[Acts] = "mask"

    first: int = Field(10, ge=0, le=4096, description="First tokens that all later ones see.")
    last: int = Field(
        512, ge=1, le=1_000_000, description="Latest tokens that each sees, itself included."
    )
    cap: int = Field(
        0, ge=0, le=1_000_000, description="Largest distance in tokens; 0 takes the value of last."
    )

    def changes(self, loaded: "LoadedModel", heads: int) -> "dict[int, Change]":
        """Change all heads of all layers, each with its own rotation."""
        from tokenarium.backend.observe.lambda_mask import LambdaMask

        return LambdaMask(self.first, self.last, self.cap or self.last).changes(loaded)
