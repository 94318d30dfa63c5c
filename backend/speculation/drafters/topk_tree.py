"""The likeliest tokens of every node, then the likeliest paths of the tree."""

from heapq import nlargest
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.tree import ROOT, Draw, Shape, TokenTree, refuse_unless_fits

if TYPE_CHECKING:
    from tokenarium.backend.speculation.draft_state import DraftState


class TopkTree(Drafter):
    """Expand the likeliest nodes of every level, and verify the likeliest nodes of all.

    A node's value is the product of the draft's probabilities on its path. Nodes that cannot come
    to be verified are neither read nor recorded, which changes nothing.
    """

    slug: ClassVar[str] = "topk_tree"
    title: ClassVar[str] = "Top-k tree"
    explanation: ClassVar[str] = (
        "Follows the draft's likeliest tokens in a tree that grows where the draft is sure, and "
        "keeps the likeliest paths."
    )
    paper: ClassVar[str] = "Li et al., 2024, arXiv:2406.16858"
    differs: ClassVar[str] = "the draft is any smaller model, where the authors train a head"
    draw: ClassVar[Draw] = "deterministic"
    prunes: ClassVar[bool] = True
    guessed: ClassVar[str] = "draft model"
    """Who guesses, as the source of a node."""

    top_k: int = Field(
        4,
        ge=1,
        le=64,
        description="Children looked at of every node, and nodes expanded of every level.",
    )
    shape: Shape = Field(
        (), description="Parent of every node, the root's -1 first; empty lets the draft decide."
    )

    def begin(self, state: "DraftState") -> None:
        """Refuse a shape that the run has no room for."""
        refuse_unless_fits(self.shape, state.draft_len, state.tree_budget)

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the tree, each level read in one pass."""
        if self.shape:
            from tokenarium.backend.speculation.draft_state import draft_levels

            return draft_levels(state, self.shape, self.draw, self.guessed)
        tree, budget = state.tree(), state.tree_budget
        level = [ROOT]
        for _ in range(state.draft_len):
            below = self._expand(state, tree, level)
            level = sorted(nlargest(self.top_k, below, key=tree.values.__getitem__))
            if not level:
                break
        best = sorted(range(1, len(tree)), key=lambda node: (-tree.values[node], node))
        tree.pruned.update(best[budget:])
        return tree

    def _expand(self, state: "DraftState", tree: TokenTree, level: list[int]) -> list[int]:
        """Add the children of a level that are among the tree's best so far, and return them."""
        rows = state.probs(tree, level)
        found = rows.topk(min(self.top_k, rows.shape[-1]), -1)
        added = []
        worth = [
            [min(1.0, probability) * tree.values[node] for probability in row]
            for node, row in zip(level, found.values.tolist(), strict=True)
        ]
        known = tree.values[1:] + [value for row in worth for value in row]
        least = nlargest(state.tree_budget, known)[-1]
        for node, probs, tokens, values in zip(
            level, rows, found.indices.tolist(), worth, strict=True
        ):
            for token, value in zip(tokens, values, strict=True):
                if value > 0 and value >= least:
                    added.append(tree.add(node, token, value, self.guessed))
                    tree.draft_probs[node] = probs
        return added
