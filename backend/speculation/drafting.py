"""What a drafter works with during a run: the text so far, a model that guesses, chance."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.speculation.laws import Processors
from backend.speculation.reader import TreeReader
from backend.speculation.tree import ROOT, TokenTree


@dataclass
class Drafting:
    """The state of a run as a drafter sees it; ids are the target's."""

    ids: list[int]
    """The prompt and everything after it; the last is the root of the next tree."""
    vocabulary: int
    """V: how many ids the target's logits have."""
    draft_len: int
    """Deepest that a node may stand."""
    tree_budget: int
    """Most nodes beside the root that are verified."""
    processors: Processors
    random: np.random.Generator
    """Of everything a drafter draws."""
    reader: TreeReader | None = None
    """Reads the text for drafters that read with a model: ``logits`` keeps it up to date."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What the drafter remembers."""
    _nodes: dict[int, int] = field(default_factory=dict)  # of this tree, as the reader counts

    @property
    def greedy(self) -> bool:
        """Whether the target takes its likeliest token: the best guess is then the draft's."""
        return self.processors.greedy

    def tree(self) -> TokenTree:
        """Return the tree of a new round: its root."""
        self._nodes = {}
        return TokenTree.of(self.ids[-1])

    def logits(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        """Return the draft's logits after nodes [n, V], which must be read parents first."""
        assert self.reader is not None
        if nodes == [ROOT] or list(nodes) == [ROOT]:
            return self._after_text()[None]
        found = self.reader.read(
            [tree.tokens[node] for node in nodes],
            [self._nodes.get(tree.parents[node], -1) for node in nodes],
        )
        for place, node in enumerate(nodes, len(self.reader.parents) - len(nodes)):
            self._nodes[node] = place
        return found

    def law(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        """Return the laws [n, V] that children of the nodes are drawn from, float32."""
        penalised = self.processors.repetition_penalty != 1
        paths = [self.before(tree, node) for node in nodes] if penalised else None
        return self.processors.draft_law(self.logits(tree, nodes), paths)

    def before(self, tree: TokenTree, node: int) -> list[int]:
        """Return all tokens up to a node, itself included."""
        return self.ids + [tree.tokens[above] for above in tree.path(node)[1:]]

    def draw(self, law: Tensor) -> int:
        """Draw a token from a law [V]."""
        return draw(law, float(self.random.random()))

    def accepted(self, path: Sequence[int]) -> None:
        """Keep what the reader has read of the accepted nodes, root first; called by the loop."""
        if self.reader is None:
            return
        read = [self._nodes[node] for node in path if node in self._nodes]
        self.reader.keep(read)

    def _after_text(self) -> Tensor:
        """Let the reader read what it has not: the accepted tokens it never saw, and the root."""
        assert self.reader is not None
        self.reader.keep([])
        return self.reader.extend(self.ids[self.reader.length :])


def draw(law: Tensor, uniform: float) -> int:
    """Return the token at ``uniform`` in [0, 1) of the cumulated law [V]; never one of mass 0."""
    edges = law.double().cumsum(-1)
    total = edges[-1]
    below = torch.nextafter(total, torch.zeros_like(total))
    target = torch.minimum(total * uniform, below)
    # The first edge above the target: tokens without mass have the edge of the one before.
    return int(torch.searchsorted(edges, target, right=True))
