"""The likeliest tokens of every node, then the likeliest paths of the tree."""

from heapq import nlargest
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.shape import Shape, refuse_unless_fits
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

if TYPE_CHECKING:
    from tokenarium.backend.speculation.drafting import Drafting

_SOURCE = "draft model"


class TopkTree(Drafter):
    """Expand the likeliest nodes of every level, and verify the likeliest nodes of all.

    How likely a node is: the product of the draft's probabilities on its path. Nodes that cannot
    come to be verified are neither read nor recorded, which changes nothing.
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

    top_k: int = Field(
        4,
        ge=1,
        le=64,
        description="Children looked at of every node, and nodes expanded of every level.",
    )
    shape: Shape = Field(
        (), description="Parent of every node, the root's -1 first; empty lets the draft decide."
    )

    def begin(self, drafting: "Drafting") -> None:
        """Refuse a shape that the run has no room for."""
        refuse_unless_fits(self.shape, drafting.draft_len, drafting.tree_budget)

    def propose(self, drafting: "Drafting") -> TokenTree:
        """Return the tree, each level read in one pass."""
        if self.shape:
            from tokenarium.backend.speculation.growing import by_levels

            return by_levels(drafting, self.shape, self.draw, _SOURCE)
        tree, budget = drafting.tree(), drafting.tree_budget
        level = [ROOT]
        for _ in range(drafting.draft_len):
            below = self._expand(drafting, tree, level)
            level = sorted(nlargest(self.top_k, below, key=tree.values.__getitem__))
            if not level:
                break
        best = sorted(range(1, len(tree)), key=lambda node: (-tree.values[node], node))
        tree.pruned.update(best[budget:])
        return tree

    def _expand(self, drafting: "Drafting", tree: TokenTree, level: list[int]) -> list[int]:
        """Add the children of a level that are among the tree's best so far, and return them."""
        laws = drafting.law(tree, level)
        found = laws.topk(min(self.top_k, laws.shape[-1]), -1)
        added = []
        worth = [
            [min(1.0, probability) * tree.values[node] for probability in row]
            for node, row in zip(level, found.values.tolist(), strict=True)
        ]
        known = tree.values[1:] + [value for row in worth for value in row]
        least = nlargest(drafting.tree_budget, known)[-1]
        for node, law, tokens, values in zip(
            level, laws, found.indices.tolist(), worth, strict=True
        ):
            for token, value in zip(tokens, values, strict=True):
                if value > 0 and value >= least:
                    added.append(tree.add(node, token, value, _SOURCE))
                    tree.laws[node] = law
        return added
