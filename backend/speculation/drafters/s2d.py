"""A chain by a draft model that is left after few layers where these are sure."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.speculation.draft_state import DraftState


class S2D(Drafter):
    """As a draft chain, where every token is said by the first exit of the draft that is sure.

    An exit is final norm and unembedding after some of the draft's layers. Where its likeliest
    token is less probable than ``sure``, the draft reads on to the next exit, from what it knows;
    the last is the whole draft. Which exit says a token depends on distributions alone, never on
    what is drawn, so the token is drawn from exactly the distribution that is recorded.
    """

    slug: ClassVar[str] = "s2d"
    title: ClassVar[str] = "Nested drafts (S2D)"
    explanation: ClassVar[str] = (
        "Lets a smaller model write ahead, and leaves it after few of its layers wherever these "
        "are sure of the next token."
    )
    paper: ClassVar[str] = "Kavehzadeh et al., 2024, arXiv:2407.01955"
    differs: ClassVar[str] = (
        "the draft was not fine-tuned for its exits, and says less there; the authors' thresholds "
        "and when they change the exit were not at hand"
    )
    caution: ClassVar[str] = (
        "pays only with a draft that was trained to be left early, and large enough for layers to "
        "cost more than calls. Measured with the bundled pair, whose draft of four layers was not, "
        "greedy over 240 tokens: first exits said 38, 18 and 7 % of the guesses at sure = 0.3, 0.5 "
        "and 0.8, tokens a pass were 2.2, 2.5 and 2.6 (2.6 by the whole draft), and a token took "
        "1.4 times the processor's time of a plain chain"
    )
    draw: ClassVar[Draw] = "iid"
    nested: ClassVar[bool] = True
    branches: ClassVar[bool] = False

    shallowest: float = Field(
        0.5, gt=0, lt=1, description="Share of the draft's layers before its first exit, rounded."
    )
    count: int = Field(
        3, ge=2, le=8, description="How many exits, evenly apart; the last is the whole draft."
    )
    sure: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Probability of an exit's likeliest token from which it is not read on; 0 "
        "never does, 1 always reads all layers.",
    )

    def exits(self, count: int) -> tuple[int, ...]:
        """Return after how many of the draft's ``count`` layers it may be left."""
        first = min(max(round(self.shallowest * count), 1), count)
        steps = range(self.count)
        found = {first + round((count - first) * step / (self.count - 1)) for step in steps}
        return tuple(sorted(found))

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the chain."""
        tree, node = state.tree(), ROOT
        for _ in range(min(state.draft_len, state.tree_budget)):
            probs, layers = self._said(state, tree, node)
            [[token]] = state.choose(probs[None], [1], self.draw)
            tree.draft_probs[node] = probs
            value = tree.values[node] * float(probs[token])
            node = tree.add(node, token, value, f"draft layer {layers}")
        return tree

    def _said(self, state: "DraftState", tree: TokenTree, node: int) -> tuple["Tensor", int]:
        """Return what follows a node by the first exit that is sure of it, and its layers."""
        reader: Any = state.reader
        exits: tuple[int, ...] = getattr(reader, "exits", ())
        probs = state.probs(tree, [node])[0]
        for _ in exits[1:]:
            if float(probs.max()) >= self.sure and self.sure < 1:
                break
            probs = state.deeper(tree, node)
        return probs, reader.layers
