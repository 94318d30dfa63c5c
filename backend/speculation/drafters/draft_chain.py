"""A chain of tokens drafted by a smaller model."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.chain_drafter import ChainDrafter
from tokenarium.backend.speculation.tree import Draw, TokenTree

if TYPE_CHECKING:
    from tokenarium.backend.speculation.draft_state import DraftState


class DraftChain(ChainDrafter):
    """One token after another from a draft model: the likeliest at temperature 0, else sampled."""

    slug: ClassVar[str] = "draft_chain"
    title: ClassVar[str] = "Draft chain"
    explanation: ClassVar[str] = (
        "Lets a smaller model write a few tokens ahead, one after another, as speculative "
        "decoding began."
    )
    paper: ClassVar[str] = "Leviathan et al., 2022, arXiv:2211.17192"
    draw: ClassVar[Draw] = "iid"
    assisted_rule: ClassVar[str] = "speculative_sampling"

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the chain."""
        from tokenarium.backend.speculation.draft_state import draft_chain

        return draft_chain(state, "draft model", self.ends)
