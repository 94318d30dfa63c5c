"""What a drafter works with during a run: the text so far, a model that guesses, chance."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenarium.backend.speculation.distribution import Processors, drawn
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree
from tokenarium.backend.speculation.vocabulary import SharedVocabulary


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
    shared: SharedVocabulary | None = None
    """How the reader's ids are the target's; None where they are the same, all of them tokens."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What the drafter remembers."""
    _nodes: dict[int, int] = field(default_factory=dict)  # of this tree, as the reader counts
    _read: int = 0  # of ids, by the reader

    @property
    def greedy(self) -> bool:
        """Whether the target takes its likeliest token: the best guess is then the draft's."""
        return self.processors.greedy

    def tree(self) -> TokenTree:
        """Return the tree of a new round: its root."""
        self._nodes = {}
        return TokenTree.of(self.ids[-1])

    def logits(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        """Return the draft's logits after nodes [n, V]: the root alone, or others after parents.

        Each is asked for once. Tokens that the draft does not have are at -inf.
        """
        assert self.reader is not None
        if list(nodes) == [ROOT]:
            found = self._after_text()[None]
        else:
            places = range(len(self.reader.parents), len(self.reader.parents) + len(nodes))
            tokens = [tree.tokens[node] for node in nodes]
            found = self.reader.read(
                self.shared.translated(tokens) if self.shared else tokens,
                [self._nodes.get(tree.parents[node], -1) for node in nodes],
            )
            self._nodes.update(zip(nodes, places, strict=True))
        return self.shared.logits(found) if self.shared else found

    def law(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        """Return the laws [n, V] that children of the nodes are drawn from, float32."""
        penalised = self.processors.repetition_penalty != 1
        paths = [self.before(tree, node) for node in nodes] if penalised else None
        return self.processors.draft_law(self.logits(tree, nodes), paths)

    def before(self, tree: TokenTree, node: int) -> list[int]:
        """Return all tokens up to a node, itself included."""
        return self.ids + [tree.tokens[above] for above in tree.path(node)[1:]]

    def pick(self, laws: Tensor, counts: Sequence[int], how: Draw) -> list[list[int]]:
        """Choose children: by chance, or the likeliest where nothing is drawn or temperature is 0.

        Args:
            laws: [n, V] of the nodes.
            counts: [n] children wanted; fewer are chosen where a law has mass on fewer tokens.
            how: they are chosen. Drawn without replacement, they have the law and order of the
                tokens with the largest ln q + Gumbel noise, for fewer random numbers.
        """
        most = min(max(counts), laws.shape[-1]) if how != "iid" else max(counts)
        if self.greedy or how == "deterministic":
            found = laws.topk(min(most, laws.shape[-1]), -1)
            chosen = found.indices.where(found.values > 0, -1)
        else:
            uniforms = torch.from_numpy(self.random.random((len(counts), most))).to(laws.device)
            chosen = _drawn_again(laws, uniforms) if how == "iid" else _drawn_once(laws, uniforms)
        rows: list[list[int]] = chosen.tolist()
        return [
            [token for token in row[:count] if token >= 0]
            for row, count in zip(rows, counts, strict=True)
        ]

    def accepted(self, path: Sequence[int]) -> None:
        """Keep what the reader has read of the accepted nodes, root first; called by the loop."""
        if self.reader is None:
            return
        read = [self._nodes[node] for node in path if node in self._nodes]
        self.reader.keep(read)
        self._read += len(read)

    def _after_text(self) -> Tensor:
        """Let the reader read what it has not: the accepted tokens it never saw, and the root."""
        assert self.reader is not None
        new = self.ids[self._read :]
        self._read = len(self.ids)
        return self.reader.extend(self.shared.spelled(new) if self.shared else new)


def draw(law: Tensor, uniform: float) -> int:
    """Return the token at ``uniform`` in [0, 1) of the cumulated law [V]; never one of mass 0."""
    return int(drawn(law[None], torch.tensor([uniform], dtype=torch.double, device=law.device)))


def _drawn_again(laws: Tensor, uniforms: Tensor) -> Tensor:
    """Return tokens [n, k] drawn independently from laws [n, V] by uniforms [n, k]."""
    return torch.stack([drawn(laws, uniform) for uniform in uniforms.unbind(-1)], -1)


def _drawn_once(laws: Tensor, uniforms: Tensor) -> Tensor:
    """Return tokens [n, k] drawn one after another, each from what those before left; -1 if none.

    What is left is summed anew, not subtracted: of a law that is sure of one token hardly anything
    is left, and differences would have no correct digit.
    """
    left, found = laws.clone(), []
    for uniform in uniforms.unbind(-1):
        spent = left.amax(-1) <= 0
        left[:, 0].masked_fill_(spent, 1)
        token = drawn(left, uniform)
        left.scatter_(-1, token[:, None], 0)
        found.append(token.masked_fill(spent, -1))
    return torch.stack(found, -1)
