"""A tree that grows where the draft expects its tokens to be tried."""

from heapq import heappop, heappush, nsmallest
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.speculation.drafting import Drafting


class DySpec(Drafter):
    """Draw the next token where, by the draft's own law, the draw is likeliest to be tried.

    Each node waits with the chance that its next child is tried; what is left of the node's law
    says what the child takes of it. A node is read when its first child is drawn, together with all
    waiting nodes whose turn can come before the budget is spent: what is drawn, and in what order,
    does not depend on when nodes are read. At temperature 0 the likeliest token is taken.
    """

    slug: ClassVar[str] = "dyspec"
    title: ClassVar[str] = "Dynamic tree (DySpec)"
    explanation: ClassVar[str] = (
        "Draws tokens one by one without replacement, each at the node where the draft itself "
        "thinks it likeliest to be tried."
    )
    paper: ClassVar[str] = "Xiong et al., 2024, arXiv:2410.11744"
    draw: ClassVar[Draw] = "without_replacement"

    def propose(self, drafting: "Drafting") -> TokenTree:
        """Return the tree; its values are the chances estimated."""
        tree = drafting.tree()
        waiting = [(-1.0, ROOT)]  # the least first; of equals, the older node
        left: dict[int, Tensor] = {}
        depths = [0]
        while waiting and len(tree) <= drafting.tree_budget:
            if waiting[0][1] not in left:
                self._read(drafting, tree, waiting, left)
            chance, node = heappop(waiting)
            token, share, remains = _take(drafting, left[node])
            child = tree.add(node, token, -chance * share, "draft model")
            depths.append(depths[node] + 1)
            if remains:
                heappush(waiting, (chance * (1 - share), node))
            if depths[child] < drafting.draft_len:
                heappush(waiting, (chance * share, child))
        for node in set(tree.laws) - set(tree.parents):
            del tree.laws[node]
        return tree

    def _read(
        self,
        drafting: "Drafting",
        tree: TokenTree,
        waiting: list[tuple[float, int]],
        left: "dict[int, Tensor]",
    ) -> None:
        """Read the nodes that may yet be drawn from: no draw adds a chance above its node's."""
        draws = drafting.tree_budget + 1 - len(tree)
        nodes = sorted(node for _, node in nsmallest(draws, waiting) if node not in left)
        for node, law in zip(nodes, drafting.law(tree, nodes), strict=True):
            tree.laws[node] = law
            left[node] = law.clone()


def _take(drafting: "Drafting", left: "Tensor") -> tuple[int, float, bool]:
    """Draw a token from what is left [V] of a law, and take it out.

    Returns: the token, its share of what was left, and whether anything remains.
    """
    from tokenarium.backend.speculation.drafting import draw

    total = float(left.double().sum())
    token = int(left.argmax()) if drafting.greedy else draw(left, float(drafting.random.random()))
    mass = float(left[token])
    left[token] = 0
    return token, min(1.0, mass / total), bool(left.any())
