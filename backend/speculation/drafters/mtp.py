"""A chain of tokens drafted by a multi-token prediction layer over the target's last states."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.chain_drafter import ChainDrafter
from tokenarium.backend.speculation.drafter import Source
from tokenarium.backend.speculation.tree import Draw, TokenTree

if TYPE_CHECKING:
    from tokenarium.backend.speculation.draft_state import DraftState


class MTP(ChainDrafter):
    """As a draft chain, where the draft is one more layer of the target's kind.

    The layer was trained with the target, reads its final state and the newest token, and guesses
    among all of its tokens.
    """

    slug: ClassVar[str] = "mtp"
    title: ClassVar[str] = "Multi-token prediction (MTP)"
    explanation: ClassVar[str] = (
        "Lets one more layer, which was trained with the target, guess the token after the next "
        "from the target's last state, and go on from its own guesses."
    )
    paper: ClassVar[str] = "DeepSeek-AI, 2024, arXiv:2412.19437"
    differs: ClassVar[str] = (
        "heads in the speculators format with one layer, used again and again along a chain; it "
        "reads the state after the target's final norm, as transformers' own generation does"
    )
    caution: ClassVar[str] = (
        "needs a head in the speculators format that was trained for the model, in draft_heads of "
        "Tokenarium's cache folder; none is shipped"
    )
    draw: ClassVar[Draw] = "iid"
    source: ClassVar[Source] = "target_states"
    head: ClassVar[str] = "mtp"

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the chain; nothing after a text of one token, before which is no state."""
        from tokenarium.backend.speculation.draft_state import draft_chain

        if len(state.ids) < 2:
            return state.tree()
        return draft_chain(state, "MTP head", self.ends)
