"""A tree of tokens drafted by an EAGLE-3 head over states of several depths of the target."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.drafter import Source
from tokenarium.backend.speculation.drafters.topk_tree import TopkTree
from tokenarium.backend.speculation.tree import TokenTree

if TYPE_CHECKING:
    from tokenarium.backend.speculation.draft_state import DraftState


class Eagle3(TopkTree):
    """The likeliest nodes of every level are expanded and the likeliest of all are verified, where
    the draft is a head that reads a low, a middle and a high layer of the target.
    """

    slug: ClassVar[str] = "eagle3"
    title: ClassVar[str] = "EAGLE-3 head"
    explanation: ClassVar[str] = (
        "Lets a trained head that reads the target's states of three depths write ahead, in a tree "
        "that grows where the head is sure."
    )
    paper: ClassVar[str] = "Li et al., 2025, arXiv:2503.01840"
    differs: ClassVar[str] = (
        "heads in the speculators format; a node is chosen, not drawn, so that at a temperature "
        "above 0 the target's own draw decides"
    )
    caution: ClassVar[str] = (
        "needs a head in the speculators format that was trained for the model, in draft_heads of "
        "Tokenarium's cache folder; none is shipped"
    )
    source: ClassVar[Source] = "target_states"
    head: ClassVar[str] = "eagle3"
    guessed: ClassVar[str] = "EAGLE-3 head"

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the tree; nothing after a text of one token, before which is no state."""
        return state.tree() if len(state.ids) < 2 else super().propose(state)
