"""The tree of drafted tokens that one forward pass of the target verifies, and its shape."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator

if TYPE_CHECKING:
    from torch import Tensor

Draw = Literal["deterministic", "iid", "without_replacement"]
"""How the children of a node are chosen: by a fixed choice, independently, or each once."""

ROOT = 0
"""The newest token of the text: known already, not yet in any cache."""


@dataclass
class TokenTree:
    """Nodes in the order they were drawn; parents come before children, siblings in draw order.

    Node 0 is the root. A node that was drafted and then left out before verification is in
    ``pruned``; none of its descendants is verified.

    After the newest token of a text, 7, both "3 5" and "4" are drafted:

    >>> tree = TokenTree.of(7)
    >>> three, four = tree.add(ROOT, 3), tree.add(ROOT, 4)
    >>> five = tree.add(three, 5)
    >>> tree.tokens, tree.parents, tree.path(five)
    ([7, 3, 4, 5], [-1, 0, 0, 1], [0, 1, 3])
    """

    tokens: list[int]
    """[N] ids of the target's vocabulary."""
    parents: list[int] = field(default_factory=lambda: [-1])
    """[N] index of the parent; -1 for the root."""
    draft_probs: "dict[int, Tensor]" = field(default_factory=dict)
    """By node, the distribution q [V] its children were drawn from, float32; absent where there is
    none, as for a text that is copied."""
    values: list[float] = field(default_factory=lambda: [1.0])
    """[N] the drafter's estimate that a node is accepted, or NaN."""
    sources: list[str] = field(default_factory=lambda: [""])
    """[N] where a token came from, such as ``draft model`` or ``3-gram``."""
    pruned: set[int] = field(default_factory=set)

    @staticmethod
    def of(token: int) -> "TokenTree":
        """Return a tree of a root alone."""
        return TokenTree([token])

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, parent: int, token: int, value: float = float("nan"), source: str = "") -> int:
        """Add a child after those its parent has, and return its index."""
        self.tokens.append(token)
        self.parents.append(parent)
        self.values.append(value)
        self.sources.append(source)
        return len(self.tokens) - 1

    def depth(self, node: int) -> int:
        """Return the number of edges from the root."""
        depth = 0
        while (node := self.parents[node]) >= 0:
            depth += 1
        return depth

    def path(self, node: int) -> list[int]:
        """Return the nodes from the root to a node, both included."""
        path = [node]
        while (node := self.parents[node]) >= 0:
            path.append(node)
        return path[::-1]

    def children(self, node: int) -> list[int]:
        """Return the children that are verified, in draw order."""
        return [
            child
            for child in range(node + 1, len(self))
            if self.parents[child] == node and child not in self.pruned
        ]

    def prune_to_chain(self) -> None:
        """Leave out all but the first child of each node: it is distributed as an only child."""
        children = self.children_by_node()
        kept, node = {ROOT}, ROOT
        while children[node]:
            node = children[node][0]
            kept.add(node)
        self.pruned.update(set(range(len(self))) - kept)

    def children_by_node(self) -> list[list[int]]:
        """Return the verified children of every node [N], in draw order."""
        found: list[list[int]] = [[] for _ in self.tokens]
        for child in self.verified():
            if child:
                found[self.parents[child]].append(child)
        return found

    def verified(self) -> list[int]:
        """Return the nodes that are verified, the root included, parents first."""
        out = set(self.pruned)
        for node, parent in enumerate(self.parents):
            if parent in out:
                out.add(node)
        return [node for node in range(len(self)) if node not in out]

    def ancestors(self, nodes: Iterable[int]) -> set[int]:
        """Return the nodes and everything above them."""
        return {above for node in nodes for above in self.path(node)}


def depths(shape: Sequence[int]) -> list[int]:
    """Return the depth of every node [N] of a shape, the root's 0 first."""
    found: list[int] = []
    for parent in shape:
        found.append(found[parent] + 1 if parent >= 0 else 0)
    return found


def _checked(shape: tuple[int, ...]) -> tuple[int, ...]:
    for node, parent in enumerate(shape):
        if not (parent == -1 if node == 0 else 0 <= parent < node):
            allowed = "-1, the root" if node == 0 else f"0 to {node - 1}"
            raise ValueError(
                f"shape={shape} gives node {node} the parent {parent}: allowed is {allowed}; list "
                "parents before children"
            )
    return shape


Shape = Annotated[tuple[int, ...], AfterValidator(_checked)]
"""Parents [N] by node, the root's -1 first, siblings in draw order; empty where none is given."""


def branching_shape(branching: Sequence[int], depth: int, budget: int) -> list[int]:
    """Return the shape where each node of a level has equally many children, level by level.

    Args:
        branching: children of the nodes of depth 0, 1, ...; the last number holds for all deeper.
        depth: deepest that a node may stand.
        budget: most nodes beside the root; the last level is cut to it.
    """
    shape, level = [-1], [0]
    for children in list(branching)[:depth] + [branching[-1]] * (depth - len(branching)):
        parents = [node for node in level for _ in range(children)][: budget + 1 - len(shape)]
        level = list(range(len(shape), len(shape) + len(parents)))
        shape += parents
    return shape


def cut_to_depth(shape: Sequence[int], depth: int) -> list[int]:
    """Return a shape without the nodes that stand deeper than ``depth``."""
    kept: dict[int, int] = {-1: -1}
    for node, deep in enumerate(depths(shape)):
        if deep <= depth:
            kept[node] = len(kept) - 1
    return [kept[shape[node]] for node in kept if node >= 0]


def refuse_unless_fits(shape: Sequence[int], draft_len: int, tree_budget: int) -> None:
    """Check that a run leaves room for a shape.

    Raises:
        ValueError: if it has more nodes than ``tree_budget``, or deeper ones than ``draft_len``.
    """
    deepest = max(depths(shape), default=0)
    if len(shape) - 1 > tree_budget:
        raise ValueError(
            f"tree_budget={tree_budget} is below the {len(shape) - 1} nodes of shape={shape}: "
            f"raise tree_budget to at least {len(shape) - 1}"
        )
    if deepest > draft_len:
        raise ValueError(
            f"draft_len={draft_len} is below the depth {deepest} of shape={shape}: raise draft_len "
            f"to at least {deepest}"
        )
