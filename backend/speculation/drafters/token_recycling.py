"""Draft from the target's earlier top-k lists, those after rejected tokens included."""

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tokenarium.backend.speculation.drafter import Drafter, Source
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.speculation.draft_state import DraftState

CANDIDATES = 8
"""Next tokens remembered for each token."""
LEVELS = (8, 21, 25, 15, 8, 3)
"""Nodes at each depth of the authors' tree of 80."""


class TokenRecycling(Drafter):
    """Keeps for every token the 8 that the target last found likeliest after it, and chains them.

    Of several nodes of a round with the same token, the last in tree order is remembered.
    """

    slug: ClassVar[str] = "token_recycling"
    title: ClassVar[str] = "Token Recycling"
    explanation: ClassVar[str] = (
        "Remembers for every token what the target last found likeliest after it, also where the "
        "draft was rejected, and fills a fixed tree from that."
    )
    paper: ClassVar[str] = "Luo et al., 2024, arXiv:2408.08696"
    differs: ClassVar[str] = (
        "begins empty for every run and proposes nothing after tokens it has not met; the tree is "
        "chosen by rank within the authors' counts of each depth, scaled to the budget"
    )
    draw: ClassVar[Draw] = "deterministic"
    source: ClassVar[Source] = "text"

    def begin(self, state: "DraftState") -> None:
        """Start with empty lists."""
        shape = (state.vocabulary, CANDIDATES)
        state.memory["next"] = np.full(shape, -1, np.int32)  # [V, 8], likeliest first

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the tree filled breadth first; branches end where nothing is known."""
        after = state.memory["next"]
        tree = state.tree()
        places = {ROOT: ROOT}  # of the template, by the node that fills it
        for place, (parent, rank) in enumerate(template(state.tree_budget, state.draft_len), 1):
            if (node := places.get(parent)) is None:
                continue
            token = int(after[tree.tokens[node], rank])
            if token >= 0:
                places[place] = tree.add(node, token, source="recycled")
        return tree

    def update(self, state: "DraftState", tree: TokenTree, logits: "Tensor") -> None:
        """Remember the likeliest tokens after every verified node."""
        count = min(CANDIDATES, logits.shape[-1])
        best = logits.float().topk(count, -1).indices.cpu().numpy()
        last = {tree.tokens[node]: row for row, node in enumerate(tree.verified())}
        state.memory["next"][list(last), :count] = best[list(last.values())]


@lru_cache(maxsize=64)
def template(budget: int, depth: int) -> tuple[tuple[int, int], ...]:
    """Return parent and rank of each node after the root, breadth first.

    Args:
        budget: most nodes; each depth has its share of the authors' 80.
        depth: deepest level, of at most 6.
    """
    nodes: list[tuple[int, int]] = []
    above = [(0.0, ROOT)]  # log of the product of ranks, node
    for count in _counts(budget, depth):
        options = [
            (cost + float(np.log(rank + 1)), node, rank)
            for cost, node in above
            for rank in range(CANDIDATES)
        ]
        # A node of low ranks all along its path is the likelier one; ties by place.
        chosen = sorted(sorted(options)[:count], key=lambda option: option[1:])
        above = []
        for cost, parent, rank in chosen:
            nodes.append((parent, rank))
            above.append((cost, len(nodes)))
    return tuple(nodes)


def _counts(budget: int, depth: int) -> list[int]:
    """Return the nodes of each depth: whole shares by largest remainder, as deep as they reach."""
    for deepest in range(min(depth, len(LEVELS)), 0, -1):
        levels = LEVELS[:deepest]
        shares = [budget * level / sum(levels) for level in levels]
        counts = [int(share) for share in shares]
        by_remainder = sorted(range(deepest), key=lambda at: counts[at] - shares[at])
        for at in by_remainder[: budget - sum(counts)]:
            counts[at] += 1
        reached = [count for count in counts if count]
        if counts[: len(reached)] == reached:
            break
    most, over = CANDIDATES, 0
    for at, count in enumerate(counts):
        counts[at] = min(count + over, most)
        over += count - counts[at]
        most = CANDIDATES * counts[at]
    return counts
