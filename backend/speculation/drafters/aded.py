"""Draft from a matrix of three-token counts by Monte Carlo tree search."""

from collections import OrderedDict
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.drafter import Drafter, Source
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.speculation.draft_state import DraftState

MOST_PAIRS = 100_000
"""Pairs of tokens whose followers are remembered, those used last."""
CANDIDATES = 4
"""Tokens that the target finds likeliest after a node, each counted by its probability."""


@dataclass
class _Place:
    """A node of the search: what it is worth, how often it was visited, what follows it."""

    pair: tuple[int, int]
    chance: float = 1.0  # product of the matrix along the path
    prior: float = 1.0
    visits: int = 0
    worth: float = 0.0  # sum over visits
    below: "dict[int, _Place] | None" = field(default=None)


class Aded(Drafter):
    """Counts what follows two tokens, from the prompt and the target's own distributions.

    A search with the PUCT rule spends its simulations where the counts are high and where it has
    looked little; a leaf is worth the product of the counts' shares along its path. The nodes
    visited most are drafted.
    """

    slug: ClassVar[str] = "aded"
    title: ClassVar[str] = "Three-token matrix with search (ADED)"
    explanation: ClassVar[str] = (
        "Remembers what the large model found likely after every two tokens, and searches that "
        "memory for the continuations worth checking."
    )
    paper: ClassVar[str] = "Liu et al., 2024, arXiv:2407.12021"
    differs: ClassVar[str] = (
        "the matrix begins with the prompt alone; the numbers of the search are ours, the authors' "
        "were not compared"
    )
    draw: ClassVar[Draw] = "deterministic"
    source: ClassVar[Source] = "text"

    simulations: int = Field(
        64, ge=1, le=1024, description="Paths that the search follows in a round."
    )
    exploration: float = Field(
        1.0,
        gt=0,
        le=10,
        description="How much a place counts that was looked at little, against what it is worth.",
    )

    def begin(self, state: "DraftState") -> None:
        """Count the prompt."""
        state.memory["matrix"] = OrderedDict[tuple[int, int], dict[int, float]]()
        ids = state.ids
        for first, second, third in zip(ids, ids[1:], ids[2:], strict=False):
            self._count(state, (first, second), third, 1.0)

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the places that the search visited most."""
        tree = state.tree()
        if len(state.ids) < 2:
            return tree
        top = _Place((state.ids[-2], state.ids[-1]))
        for _ in range(self.simulations):
            self._simulate(state, top)
        waiting = [(ROOT, token, place) for token, place in (top.below or {}).items()]
        while waiting and len(tree) <= state.tree_budget:
            # Of equals the likelier, then the one met first.
            best = max(
                range(len(waiting)),
                key=lambda at: (waiting[at][2].visits, waiting[at][2].chance, -at),
            )
            parent, token, place = waiting.pop(best)
            if not place.visits:
                break
            node = tree.add(parent, token, place.chance, "matrix")
            waiting += [(node, follow, under) for follow, under in (place.below or {}).items()]
        return tree

    def update(self, state: "DraftState", tree: TokenTree, logits: "Tensor") -> None:
        """Count the likeliest tokens after every verified node."""
        best = logits.float().softmax(-1).topk(min(CANDIDATES, logits.shape[-1]), -1)
        for node, shares, tokens in zip(
            tree.verified(), best.values.tolist(), best.indices.tolist(), strict=True
        ):
            before = [tree.tokens[tree.parents[node]]] if node else state.ids[-2:-1]
            if not before:
                continue
            for share, token in zip(shares, tokens, strict=True):
                self._count(state, (before[0], tree.tokens[node]), token, share)

    def _count(self, state: "DraftState", pair: tuple[int, int], token: int, weight: float) -> None:
        matrix = state.memory["matrix"]
        row = matrix.setdefault(pair, {})
        matrix.move_to_end(pair)
        row[token] = row.get(token, 0.0) + weight
        if len(matrix) > MOST_PAIRS:
            matrix.popitem(last=False)

    def _simulate(self, state: "DraftState", top: _Place) -> None:
        """Follow the best places down to one that was not expanded, and count its worth."""
        path = [top]
        while (below := path[-1].below) and len(path) <= state.draft_len:
            root = sqrt(path[-1].visits)
            path.append(max(below.values(), key=lambda one: self._puct(one, root)))
        last = path[-1]
        if last.below is None and len(path) <= state.draft_len:
            row = state.memory["matrix"].get(last.pair, {})
            total = sum(row.values())
            last.below = {
                token: _Place((last.pair[1], token), last.chance * weight / total, weight / total)
                for token, weight in row.items()
            }
        for place in path:
            place.visits += 1
            place.worth += last.chance

    def _puct(self, place: _Place, root: float) -> float:
        mean = place.worth / place.visits if place.visits else 0.0
        return mean + self.exploration * place.prior * root / (1 + place.visits)
