"""A chain of guesses from the first layers of the target itself."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.drafter import Drafter, Reads
from tokenarium.backend.speculation.tree import Draw, TokenTree

if TYPE_CHECKING:
    from tokenarium.backend.speculation.drafting import Drafting


class EarlyExit(Drafter):
    """As a draft chain, where the draft is final norm and unembedding after an early layer.

    It keeps keys and values of its own: the verifying pass reads those layers again.
    """

    slug: ClassVar[str] = "early_exit"
    title: ClassVar[str] = "Early exit"
    explanation: ClassVar[str] = (
        "Lets the target guess for itself from its first layers, without a second model."
    )
    paper: ClassVar[str] = "Elhoushi et al., 2024, arXiv:2404.16710"
    differs: ClassVar[str] = (
        "models need not be trained for it, and guess worse then; the verifying pass computes "
        "the first layers again"
    )
    draw: ClassVar[Draw] = "iid"
    reads: ClassVar[Reads] = "target_layers"
    branches: ClassVar[bool] = False

    exit_share: float = Field(
        0.5, gt=0, lt=1, description="Share of the target's layers that are read, rounded."
    )
    stop_below: float = Field(
        0.0,
        ge=0,
        le=1,
        description="End the chain after a token less probable than this; 0 never does.",
    )

    def layers(self, count: int) -> int:
        """Return how many of the target's layers are read.

        Raises:
            ValueError: if the target has one layer alone.
        """
        if count < 2:
            raise ValueError(
                f"drafter={self.slug!r} leaves a model early, and this one has {count} layer: "
                "choose a model of at least 2 layers"
            )
        return min(max(round(self.exit_share * count), 1), count - 1)

    def propose(self, drafting: "Drafting") -> TokenTree:
        """Return the chain."""
        from tokenarium.backend.speculation.growing import chain

        assert drafting.reader is not None
        return chain(drafting, f"layer {drafting.reader.layers}", self.stop_below)
