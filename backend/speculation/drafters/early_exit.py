"""A chain of tokens drafted by the first layers of the target itself."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.chain_drafter import ChainDrafter
from tokenarium.backend.speculation.drafter import Source
from tokenarium.backend.speculation.tree import Draw, TokenTree

if TYPE_CHECKING:
    from tokenarium.backend.speculation.draft_state import DraftState


class EarlyExit(ChainDrafter):
    """As a draft chain, where the draft is final norm and unembedding after an early layer.

    It has a KV cache of its own: the verifying pass computes those layers again.
    """

    slug: ClassVar[str] = "early_exit"
    title: ClassVar[str] = "Early exit"
    explanation: ClassVar[str] = (
        "Lets the target draft for itself with its first layers, without a second model."
    )
    paper: ClassVar[str] = "Elhoushi et al., 2024, arXiv:2404.16710"
    differs: ClassVar[str] = (
        "models need not be trained for it, and draft worse then; the verifying pass computes "
        "the first layers again"
    )
    caution: ClassVar[str] = (
        "pays only with a model that was trained to leave early. Measured on "
        "SmolLM2-135M-Instruct, which was not, over 75 tokens: the first 15, 24 and 28 of 30 "
        "layers agree with the last on 9 %, 32 % and 57 % of the next tokens and cost 0.61, 0.84 "
        "and 0.95 of a pass, so that 0.8 times plain decoding is the most to expect at any depth"
    )
    draw: ClassVar[Draw] = "iid"
    source: ClassVar[Source] = "target_layers"

    exit_share: float = Field(
        0.5, gt=0, lt=1, description="Share of the target's layers that draft, rounded."
    )

    def layers(self, count: int) -> int:
        """Return how many of the target's layers draft.

        Raises:
            ValueError: if the target has one layer alone.
        """
        if count < 2:
            raise ValueError(
                f"drafter={self.slug!r} leaves a model early, and this one has {count} layer: "
                "choose a model of at least 2 layers"
            )
        return min(max(round(self.exit_share * count), 1), count - 1)

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the chain."""
        from tokenarium.backend.speculation.draft_state import draft_chain

        assert state.reader is not None
        return draft_chain(state, f"layer {state.reader.layers}", self.ends)
