"""What a drafter works with during a run: the text so far, a draft model, random numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tokenarium.backend.speculation.distribution import (
    Processors,
    sample_with_replacement,
    sample_without_replacement,
)
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree, cut_to_depth
from tokenarium.backend.speculation.vocabulary import SharedVocabulary


class DraftReader(Protocol):
    """What reads for a drafter: a model with its cache, or a head over the target's states."""

    @property
    def layers(self) -> int:
        """Layers that it runs."""

    @property
    def parents(self) -> list[int]:
        """Of the drafted tokens that were read, the index of each one's parent; -1 for the text."""

    def extend(self, ids: Sequence[int]) -> Tensor:
        """Read tokens of the text, the root last, and return the logits after it [V]."""

    def read(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Read drafted tokens, each after its parent, and return the logits after each [n, V]."""

    def keep(self, path: Sequence[int]) -> int:
        """Drop drafted tokens but a path of them.

        Returns: how many of the path are read for good; the others come again with ``extend``.
        """


@dataclass
class DraftState:
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
    reader: DraftReader | None = None
    """The draft, for drafters that have one: ``logits`` keeps its cache up to date."""
    shared: SharedVocabulary | None = None
    """How the reader's ids are the target's; None where they are the same, all of them tokens."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What the drafter remembers."""
    _nodes: dict[int, int] = field(default_factory=dict)  # of this tree, as the reader counts
    _read: int = 0  # of ids, by the reader

    @property
    def greedy(self) -> bool:
        """Whether the target takes its likeliest token: the draft's is then drafted too."""
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

    def probs(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        """Return the distributions [n, V] that children of the nodes are drawn from, float32."""
        penalty = self.processors.repetition_penalty != 1
        paths = [self.prefix(tree, node) for node in nodes] if penalty else None
        return self.processors.soft_probs(self.logits(tree, nodes), paths)

    def deeper(self, tree: TokenTree, node: int) -> Tensor:
        """Return the distribution [V] that a nested draft's next exit gives after the same node."""
        reader: Any = self.reader
        logits = reader.deeper()[None]
        paths = [self.prefix(tree, node)] if self.processors.repetition_penalty != 1 else None
        return self.processors.soft_probs(
            self.shared.logits(logits) if self.shared else logits, paths
        )[0]

    def prefix(self, tree: TokenTree, node: int) -> list[int]:
        """Return all tokens up to a node, itself included."""
        return self.ids + [tree.tokens[above] for above in tree.path(node)[1:]]

    def choose(self, probs: Tensor, counts: Sequence[int], how: Draw) -> list[list[int]]:
        """Choose children: sampled, or the likeliest where nothing is drawn or temperature is 0.

        Args:
            probs: [n, V] of the nodes.
            counts: [n] children wanted; fewer are chosen where fewer tokens have mass.
            how: they are chosen. Those drawn without replacement are distributed and ordered as the
                tokens of largest ln q + Gumbel noise, for fewer random numbers.
        """
        most = min(max(counts), probs.shape[-1]) if how != "iid" else max(counts)
        if self.greedy or how == "deterministic":
            found = probs.topk(min(most, probs.shape[-1]), -1)
            chosen = found.indices.where(found.values > 0, -1)
        else:
            uniforms = torch.from_numpy(self.random.random((len(counts), most))).to(probs.device)
            sampled = sample_with_replacement if how == "iid" else sample_without_replacement
            chosen = sampled(probs, uniforms)
        rows: list[list[int]] = chosen.tolist()
        return [
            [token for token in row[:count] if token >= 0]
            for row, count in zip(rows, counts, strict=True)
        ]

    def keep(self, path: Sequence[int]) -> None:
        """Keep the draft model's cache of the accepted nodes, root first; called by the loop."""
        if self.reader is None:
            return
        read = [self._nodes[node] for node in path if node in self._nodes]
        self._read += self.reader.keep(read)

    def _after_text(self) -> Tensor:
        """Let the draft model read the accepted tokens that it has not read, and the root."""
        assert self.reader is not None
        new = self.ids[self._read :]
        self._read = len(self.ids)
        return self.reader.extend(self.shared.spelled(new) if self.shared else new)


def draft_chain(
    state: DraftState,
    source: str,
    ends: Callable[[Sequence[float], Tensor], bool] = lambda *_: False,
    how: Draw = "iid",
) -> TokenTree:
    """Return one drafted token after another, each chosen after the one before.

    Args:
        state: of the run.
        source: of the tokens.
        ends: from the probability of each token so far, and the distribution [V] of the last, to
            whether the chain ends with it. The token stays: to leave out a token that was drawn
            because of what it is would bias the output.
        how: tokens are chosen.
    """
    tree = state.tree()
    node, probabilities = ROOT, list[float]()
    for _ in range(min(state.draft_len, state.tree_budget)):
        probs = state.probs(tree, [node])
        [[token]] = state.choose(probs, [1], how)
        tree.draft_probs[node] = probs[0]
        probabilities.append(float(probs[0, token]))
        node = tree.add(node, token, tree.values[node] * probabilities[-1], source)
        if ends(probabilities, probs[0]):
            break
    return tree


def draft_levels(state: DraftState, shape: Sequence[int], how: Draw, source: str) -> TokenTree:
    """Return a tree of a given shape, each level read by the draft model in one pass.

    A node with too few tokens of any mass gets fewer children, and a token that the same parent
    drew before gets none: rules accept the first of equals as a rule. A node's value is the product
    of the draft's probabilities on its path.

    Args:
        state: of the run.
        shape: [N] parents by node, the root's -1 first, siblings in draw order; cut to the depth
            that is left.
        how: children are chosen.
        source: of the tokens.
    """
    shape = cut_to_depth(shape, state.draft_len)
    places: list[list[int]] = [[] for _ in shape]
    for place, parent in enumerate(shape):
        if parent >= 0:
            places[parent].append(place)
    tree, level = state.tree(), [(ROOT, 0)]
    while level := [(node, place) for node, place in level if places[place]]:
        rows = state.probs(tree, [node for node, _ in level])
        chosen = state.choose(rows, [len(places[place]) for _, place in level], how)
        below = []
        for (node, place), probs, tokens in zip(level, rows, chosen, strict=True):
            tree.draft_probs[node] = probs
            seen = set[int]()
            for token, probability, under in zip(
                tokens, probs[tokens].tolist(), places[place], strict=False
            ):
                child = tree.add(node, token, tree.values[node] * probability, source)
                if token not in seen:
                    below.append((child, under))
                seen.add(token)
        level = below
    return tree
