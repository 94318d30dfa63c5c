"""Copy from the text where it repeats itself, else let a draft head guess."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tokenarium.backend.speculation.chain_drafter import ChainDrafter
from tokenarium.backend.speculation.drafter import Drafter, Source
from tokenarium.backend.speculation.drafters.feature_head import GUESSED
from tokenarium.backend.speculation.tree import Draw, TokenTree

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.speculation.draft_state import DraftState


class LookupElse(ChainDrafter):
    """Round by round: what a drafter without a model finds, or, where it finds nothing, a head's.

    Both are fixed choices, the head's its likeliest tokens, so that one rule is exact for either.
    The source of each node says who guessed it.
    """

    slug: ClassVar[str] = "lookup_else"
    title: ClassVar[str] = "Lookup, else draft head"
    explanation: ClassVar[str] = (
        "Copies what followed the last tokens earlier in the text, and where they are new lets the "
        "draft head guess."
    )
    paper: ClassVar[str] = (
        "Saxena, 2023, github.com/apoorvumang/prompt-lookup-decoding; "
        "Li et al., 2024, arXiv:2401.15077"
    )
    differs: ClassVar[str] = "two published drafters in turn; the head drafts its likeliest tokens"
    caution: ClassVar[str] = (
        "needs a head that was trained for the model: one for smollm2-135m-instruct is shipped. "
        "Measured there in bfloat16 on an AMD EPYC, 13 kinds of prompt: 1.7 times the pace of "
        "plain decoding, 1.3 times that of prompt lookup alone"
    )
    draw: ClassVar[Draw] = "deterministic"
    source: ClassVar[Source] = "target_states"

    first: Literal["prompt_lookup", "trie_lookahead"] = Field(
        "prompt_lookup", description="Who drafts first, from the text alone."
    )
    shortest: int = Field(
        2,
        ge=1,
        le=16,
        description="Fewest tokens that must have occurred before for the copy to be drafted.",
    )
    stop_below: float = Field(
        0.3,
        ge=0,
        le=1,
        description="End the head's chain after a token less probable than this, or, by another "
        "stop rule than confidence, where that scores less; 0 never does.",
    )

    def begin(self, state: "DraftState") -> None:
        """Let the first drafter prepare."""
        self._first().begin(state)

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the first drafter's chain, or the head's."""
        tree = self._first().propose(state)
        if self._believed(tree) or len(state.ids) < 2:
            return tree
        from tokenarium.backend.speculation.draft_state import draft_chain

        return draft_chain(state, GUESSED, self.ends, self.draw)

    def update(self, state: "DraftState", tree: TokenTree, logits: "Tensor") -> None:
        """Let the first drafter learn."""
        self._first().update(state, tree, logits)

    def _first(self) -> Drafter:
        return Drafter.registry.find(self.first)()

    def _believed(self, tree: TokenTree) -> bool:
        return len(tree) > 1 and int(tree.sources[1].removesuffix("-gram")) >= self.shortest
