"""A block of tokens drafted at once by a DFlash head over the target's states."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tokenarium.backend.speculation.chain_drafter import ChainDrafter
from tokenarium.backend.speculation.drafter import Source
from tokenarium.backend.speculation.tree import Draw, TokenTree

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.speculation.draft_state import DraftState


class DFlash(ChainDrafter):
    """One pass fills a block of masked places; each token is drawn from the distribution of its own
    place, which depends on no other token of the block.
    """

    slug: ClassVar[str] = "dflash"
    title: ClassVar[str] = "DFlash block"
    explanation: ClassVar[str] = (
        "Lets a trained head fill a whole block of masked places in one pass, from the target's "
        "states of several depths."
    )
    paper: ClassVar[str] = "Chen, Liang and Liu, 2026, arXiv:2602.06036"
    differs: ClassVar[str] = (
        "heads in the speculators format; a block is cut to the draft length, and its layers see "
        "all of the text"
    )
    caution: ClassVar[str] = (
        "needs a head in the speculators format that was trained for the model, in draft_heads of "
        "Tokenarium's cache folder; none is shipped"
    )
    draw: ClassVar[Draw] = "iid"
    source: ClassVar[Source] = "target_states"
    head: ClassVar[str] = "dflash"

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the chain; nothing after a text of one token, before which is no state."""
        from tokenarium.backend.speculation.draft_state import draft_chain

        if len(state.ids) < 2:
            return state.tree()
        reader: Any = state.reader

        def ends(probabilities: Sequence[float], probs: "Tensor") -> bool:
            return len(probabilities) >= reader.most or self.ends(probabilities, probs)

        return draft_chain(state, "DFlash block", ends)
