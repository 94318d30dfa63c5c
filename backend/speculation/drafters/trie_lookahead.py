"""Draft every continuation that the text's ending had before, most frequent branches first."""

import heapq
from collections import defaultdict
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.drafter import Drafter, Source
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

if TYPE_CHECKING:
    from tokenarium.backend.speculation.draft_state import DraftState

MOST_PLACES = 256
"""Most recent occurrences of an ending that are looked at."""


class TrieLookahead(Drafter):
    """Merges the continuations of the text's ending into a tree, by how often each occurred.

    A branch is as long as ``draft_len``, the tree as large as ``tree_budget``: the authors' branch
    length and decoding length, 12 and 64. Only the part of the trie below an ending that is looked
    up is ever built: its counts are those of the whole.
    """

    slug: ClassVar[str] = "trie_lookahead"
    title: ClassVar[str] = "Trie lookahead"
    explanation: ClassVar[str] = (
        "Collects everything that followed the last few tokens earlier in the prompt and the "
        "output, and drafts the most frequent continuations as one tree."
    )
    paper: ClassVar[str] = "Zhao et al., 2023, arXiv:2312.12728"
    differs: ClassVar[str] = (
        "a shorter ending fills what a longer one leaves of the budget; nothing is kept from "
        f"earlier runs; the {MOST_PLACES} latest occurrences count"
    )
    draw: ClassVar[Draw] = "deterministic"
    source: ClassVar[Source] = "text"

    ending: int = Field(
        2, ge=1, le=8, description="Most closing tokens of the text that continuations must follow."
    )
    output_weight: float = Field(
        1e-4,
        gt=0,
        lt=1,
        description="What an occurrence in the output counts; one in the prompt counts the rest "
        "to 1.",
    )

    def begin(self, state: "DraftState") -> None:
        """Index the prompt."""
        state.memory["index"] = _Places(self.ending)
        state.memory["prompt"] = len(state.ids)
        state.memory["index"].learn(state.ids)

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the most frequent continuations, those of longer endings first."""
        index: _Places = state.memory["index"]
        index.learn(state.ids)
        tree = state.tree()
        known: dict[tuple[int, int], int] = {}
        for size in range(min(self.ending, len(state.ids)), 0, -1):
            places = index.after(state.ids, size)
            if places and len(tree) <= state.tree_budget:
                self._grow(state, tree, places, f"{size}-gram", known)
        return tree

    def _grow(
        self,
        state: "DraftState",
        tree: TokenTree,
        places: list[int],
        source: str,
        known: dict[tuple[int, int], int],
    ) -> None:
        """Add continuations that begin at ``places``, the most frequent node first.

        A branch's weight never exceeds that of its beginning, so parents come before children.
        """
        ids, prompt = state.ids, state.memory["prompt"]
        inside, outside = 1 - self.output_weight, self.output_weight
        total = sum(inside if place < prompt else outside for place in places)
        # Of equal weights the shallower goes first, then the one that was met first.
        waiting: list[tuple[float, int, int, int, int, list[int]]] = []
        count = 0

        def expand(node: int, depth: int, occurrences: list[int]) -> None:
            nonlocal count
            by_token: defaultdict[int, list[int]] = defaultdict(list)
            for place in occurrences:
                if place < len(ids):
                    by_token[ids[place]].append(place)
            for token, where in by_token.items():
                weight = sum(inside if place < prompt else outside for place in where)
                count += 1
                entry = (-weight, depth, count, node, token, [place + 1 for place in where])
                heapq.heappush(waiting, entry)

        expand(ROOT, 1, places)
        while waiting and len(tree) <= state.tree_budget:
            weight, depth, _, parent, token, following = heapq.heappop(waiting)
            node = known.get((parent, token))
            if node is None:
                node = tree.add(parent, token, value=-weight / total, source=source)
                known[parent, token] = node
            if depth < state.draft_len:
                expand(node, depth + 1, following)


class _Places:
    """Where each ending of up to ``longest`` tokens is followed by something."""

    def __init__(self, longest: int) -> None:
        self._after: list[defaultdict[tuple[int, ...], list[int]]] = [
            defaultdict(list) for _ in range(longest + 1)
        ]
        self._learned = 1

    def learn(self, ids: list[int]) -> None:
        for place in range(self._learned, len(ids)):
            for size in range(1, min(len(self._after) - 1, place) + 1):
                self._after[size][tuple(ids[place - size : place])].append(place)
        self._learned = max(self._learned, len(ids))

    def after(self, ids: list[int], size: int) -> list[int]:
        """Return the latest places that follow the last ``size`` tokens, most recent first."""
        return self._after[size].get(tuple(ids[-size:]), [])[: -MOST_PLACES - 1 : -1]
