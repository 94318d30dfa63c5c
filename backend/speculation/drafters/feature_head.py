"""A chain of tokens drafted by a small head that reads the target's last states."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.chain_drafter import ChainDrafter
from tokenarium.backend.speculation.drafter import Source
from tokenarium.backend.speculation.tree import Draw, TokenTree

if TYPE_CHECKING:
    from tokenarium.backend.speculation.draft_state import DraftState

GUESSED = "draft head"


class FeatureHead(ChainDrafter):
    """As a draft chain, where the draft is one layer over the target's own last state.

    The head guesses the target's next state from its last one and the newest token, and the
    target's unembedding turns the guess into tokens, of a reduced vocabulary.
    """

    slug: ClassVar[str] = "feature_head"
    title: ClassVar[str] = "Draft head"
    explanation: ClassVar[str] = (
        "Lets one small layer guess the target's next state from its last one, and drafts the "
        "tokens that the target would say there."
    )
    paper: ClassVar[str] = "Li et al., 2024, arXiv:2401.15077"
    differs: ClassVar[str] = (
        "a chain, of 8,192 likely tokens only; the head starts from a regression and is trained on "
        "text that the target wrote itself"
    )
    caution: ClassVar[str] = (
        "needs a head that was trained for the model: one for smollm2-135m-instruct is shipped"
    )
    draw: ClassVar[Draw] = "iid"
    source: ClassVar[Source] = "target_states"

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the chain; nothing after a text of one token, before which is no state."""
        from tokenarium.backend.speculation.draft_state import draft_chain

        if len(state.ids) < 2:
            return state.tree()
        return draft_chain(state, GUESSED, self.ends)
