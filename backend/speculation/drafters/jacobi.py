"""Draft what the target said after the last guesses: guesses improve from round to round."""

from collections import OrderedDict
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.drafter import Drafter, Source
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.speculation.draft_state import DraftState

MOST_KEYS = 4_096
"""Tokens for which n-grams are remembered, those used last."""


class Jacobi(Drafter):
    """Lets the target correct all guesses of a chain at once, and remembers the n-grams it says.

    A verifying pass says what the target would put after every guess, right or wrong. Those are the
    next round's guesses, moved along by what was accepted: a Jacobi iteration, whose fixed point is
    the target's greedy text. Beside that chain, n-grams which earlier iterations said after the
    text's last token are drafted.
    """

    slug: ClassVar[str] = "jacobi"
    title: ClassVar[str] = "Jacobi lookahead"
    explanation: ClassVar[str] = (
        "Guesses several tokens, and takes what the large model says after each of them as the "
        "next guesses, right or wrong; n-grams that came up so are tried again later."
    )
    paper: ClassVar[str] = "Fu et al., 2024, arXiv:2402.02057"
    differs: ClassVar[str] = (
        "one chain of guesses in place of a window of several iterations, refined in the pass that "
        "verifies; the first guesses are tokens of the prompt"
    )
    draw: ClassVar[Draw] = "deterministic"
    source: ClassVar[Source] = "text"

    ngram: int = Field(
        4, ge=2, le=8, description="Tokens of a remembered n-gram, its key included."
    )
    pool: int = Field(
        5, ge=0, le=32, description="Most n-grams remembered for a token; the newest are drafted."
    )

    def begin(self, state: "DraftState") -> None:
        """Begin with the first tokens of the prompt as guesses."""
        state.memory["guesses"] = state.ids[: state.draft_len]
        state.memory["read"] = len(state.ids)
        state.memory["pool"] = OrderedDict[int, list[tuple[int, ...]]]()

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the chain of guesses, then n-grams that followed the root, as far as they fit."""
        guesses, root = self._moved(state), state.ids[-1]
        tree, known = state.tree(), dict[tuple[int, int], int]()
        ways = [("guess", guesses)]
        ways += [("n-gram", gram) for gram in reversed(state.memory["pool"].get(root, []))]
        for source, tokens in ways:
            node = ROOT
            for token in tokens[: state.draft_len]:
                below = known.get((node, token))
                if below is None:
                    if len(tree) > state.tree_budget:
                        return tree
                    below = known[node, token] = tree.add(node, token, source=source)
                node = below
        return tree

    def update(self, state: "DraftState", tree: TokenTree, logits: "Tensor") -> None:
        """Take what the target says after every guess, and remember its n-grams."""
        nodes = tree.verified()
        said = dict(zip(nodes, logits.argmax(-1).tolist(), strict=True))
        chain = [ROOT]
        while True:  # the chain of guesses is the first child all along
            after = [n for n in nodes if tree.parents[n] == chain[-1] and n == chain[-1] + 1]
            if not after:
                break
            chain.append(after[0])
        state.memory["said"] = [said[node] for node in chain]
        state.memory["read"] = len(state.ids)
        self._remember(state, [tree.tokens[ROOT], *state.memory["said"]])

    def _moved(self, state: "DraftState") -> list[int]:
        """Return the newest guesses for what follows the text, as many as may be drafted."""
        said = state.memory.pop("said", None)
        if said is not None:
            state.memory["guesses"] = said[len(state.ids) - state.memory["read"] :]
        found: list[int] = state.memory["guesses"]
        while len(found) < state.draft_len:  # nothing is known so far ahead
            found = [*found, state.ids[len(found) % len(state.ids)]]
        return found

    def _remember(self, state: "DraftState", tokens: list[int]) -> None:
        pool = state.memory["pool"]
        for start in range(len(tokens) - self.ngram + 1):
            key, gram = tokens[start], tuple(tokens[start + 1 : start + self.ngram])
            kept = [other for other in pool.pop(key, []) if other != gram]
            pool[key] = [*kept, gram][-self.pool :] if self.pool else []
        while len(pool) > MOST_KEYS:
            pool.popitem(last=False)
