"""Drafted tokens as a tree: what is verified in one pass of the target."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

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
    """

    tokens: list[int]
    """[N] ids of the target's vocabulary."""
    parents: list[int] = field(default_factory=lambda: [-1])
    """[N] index of the parent; -1 for the root."""
    laws: "dict[int, Tensor]" = field(default_factory=dict)
    """By node, the law [V] its children were drawn from, float32; absent where there is none."""
    values: list[float] = field(default_factory=lambda: [1.0])
    """[N] what the drafter expected of a node, such as its chance to be accepted, or NaN."""
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
        """Leave out all but the first child of each node, which has the law of an only one."""
        families = self.families()
        kept, node = {ROOT}, ROOT
        while families[node]:
            node = families[node][0]
            kept.add(node)
        self.pruned.update(set(range(len(self))) - kept)

    def families(self) -> list[list[int]]:
        """Return the verified children of every node at once, by parent."""
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
