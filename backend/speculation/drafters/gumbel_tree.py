"""A tree whose siblings are sampled without replacement."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.tree import (
    Draw,
    Shape,
    TokenTree,
    branching_shape,
    refuse_unless_fits,
)

if TYPE_CHECKING:
    from tokenarium.backend.speculation.draft_state import DraftState


class GumbelTree(Drafter):
    """Siblings sampled without replacement: the tokens of largest ln q + Gumbel noise, in order.

    At temperature 0 they are the likeliest tokens.
    """

    slug: ClassVar[str] = "gumbel_tree"
    title: ClassVar[str] = "Tree without replacement"
    explanation: ClassVar[str] = (
        "Draws several different tokens at every node of a tree, so that no sibling is wasted on "
        "a token that was tried."
    )
    paper: ClassVar[str] = "Jeon et al., 2024, arXiv:2402.14160"
    draw: ClassVar[Draw] = "without_replacement"

    branching: Annotated[
        tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1, max_length=64)
    ] = Field(
        (3, 2, 1), description="Children of a node by its depth; the last number goes on below."
    )
    shape: Shape = Field(
        (), description="Parent of every node, the root's -1 first; empty follows branching."
    )

    def begin(self, state: "DraftState") -> None:
        """Refuse a shape that the run has no room for."""
        refuse_unless_fits(self.shape, state.draft_len, state.tree_budget)

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the tree, each level read in one pass."""
        from tokenarium.backend.speculation.draft_state import draft_levels

        shape = self.shape or branching_shape(self.branching, state.draft_len, state.tree_budget)
        return draft_levels(state, shape, self.draw, "draft model")
