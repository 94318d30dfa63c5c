"""A chain by the target's first layers and an adapter, verified from the states they left."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.chain_drafter import ChainDrafter
from tokenarium.backend.speculation.drafter import Source
from tokenarium.backend.speculation.tree import Draw, TokenTree

if TYPE_CHECKING:
    from tokenarium.backend.speculation.draft_state import DraftState


class Kangaroo(ChainDrafter):
    """As early exit, where an adapter turns what the first layers left into a last state.

    The first layers write their keys and values where the target's are, and their states of the
    root and of every guess are kept: the verifying pass runs the other layers alone.
    """

    slug: ClassVar[str] = "kangaroo"
    title: ClassVar[str] = "Adapter on first layers (Kangaroo)"
    explanation: ClassVar[str] = (
        "Lets the target draft with its first layers and a small trained adapter, and verifies "
        "from where these layers left off."
    )
    paper: ClassVar[str] = "Liu et al., 2024, arXiv:2404.18911"
    differs: ClassVar[str] = (
        "a linear map from a regression stands before the adapter's attention, which has fewer "
        "heads; it is trained on text that the target wrote itself"
    )
    caution: ClassVar[str] = (
        "needs an adapter that was trained for the model: one for bundled/target is shipped. "
        "Measured there, greedy in float32 with draft_len 3 over 128 tokens: 1.9 tokens a pass, "
        "and 2.6 where it never stops early (2.3 by the bundled draft, 1.4 by early exit at the "
        "same layer); 0.93 and 0.96 times the speed of plain decoding, so it does not pay on a "
        "model this small"
    )
    draw: ClassVar[Draw] = "iid"
    source: ClassVar[Source] = "target_states"
    head: ClassVar[str] = "adapter"
    hands_on: ClassVar[bool] = True

    stop_below: float = Field(
        0.4,
        ge=0,
        le=1,
        description="End the chain after a token less probable than this, or, by another stop rule "
        "than confidence, where that scores less; 0 never does.",
    )

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the chain."""
        from tokenarium.backend.speculation.draft_state import draft_chain

        return draft_chain(state, "first layers and adapter", self.ends)
