"""A tree that grows where the draft expects its tokens to be tested."""

from heapq import heappop, heappush, nsmallest
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.speculation.draft_state import DraftState


class DySpec(Drafter):
    """Draw the next token where, by the draft's own probabilities, it is likeliest to be tested.

    Each node waits in a heap with the estimated probability that its next child is tested; the
    child's share of what is left of the node's distribution says how much of it the child takes. A
    node is read by the draft model when its first child is drawn, together with all waiting nodes
    whose turn can come before the budget is spent: what is drawn, and in what order, does not
    depend on when nodes are read. At temperature 0 the likeliest token is taken.
    """

    slug: ClassVar[str] = "dyspec"
    title: ClassVar[str] = "Dynamic tree (DySpec)"
    explanation: ClassVar[str] = (
        "Draws tokens one by one without replacement, each at the node where the draft itself "
        "thinks it likeliest to be tested."
    )
    paper: ClassVar[str] = "Xiong et al., 2024, arXiv:2410.11744"
    draw: ClassVar[Draw] = "without_replacement"

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the tree; values are estimated probabilities to be tested and accepted."""
        tree = state.tree()
        waiting = [(-1.0, ROOT)]  # the least first; of equals, the older node
        left: dict[int, Tensor] = {}
        depths = [0]
        while waiting and len(tree) <= state.tree_budget:
            if waiting[0][1] not in left:
                self._read(state, tree, waiting, left)
            chance, node = heappop(waiting)
            token, share, remains = _take(state, left[node])
            child = tree.add(node, token, -chance * share, "draft model")
            depths.append(depths[node] + 1)
            if remains:
                heappush(waiting, (chance * (1 - share), node))
            if depths[child] < state.draft_len:
                heappush(waiting, (chance * share, child))
        for node in set(tree.draft_probs) - set(tree.parents):
            del tree.draft_probs[node]
        return tree

    def _read(
        self,
        state: "DraftState",
        tree: TokenTree,
        waiting: list[tuple[float, int]],
        left: "dict[int, Tensor]",
    ) -> None:
        """Read the nodes that may yet be drawn from: no child's estimate exceeds its node's."""
        remaining = state.tree_budget + 1 - len(tree)
        nodes = sorted(node for _, node in nsmallest(remaining, waiting) if node not in left)
        for node, probs in zip(nodes, state.probs(tree, nodes), strict=True):
            tree.draft_probs[node] = probs
            left[node] = probs.clone()


def _take(state: "DraftState", left: "Tensor") -> tuple[int, float, bool]:
    """Sample a token from what is left [V] of a distribution, and remove it.

    Returns: the token, its share of what was left, and whether anything remains.
    """
    from tokenarium.backend.speculation.distribution import sample_one

    total = float(left.double().sum())
    token = int(left.argmax()) if state.greedy else sample_one(left, float(state.random.random()))
    mass = float(left[token])
    left[token] = 0
    return token, min(1.0, mass / total), bool(left.any())
