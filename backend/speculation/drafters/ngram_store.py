"""Draft what followed the text's ending in earlier texts of the same model."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.drafters.trie_lookahead import TrieLookahead
from tokenarium.backend.speculation.tree import TokenTree

if TYPE_CHECKING:
    from tokenarium.backend.speculation.draft_state import DraftState

MOST_TOKENS = 8192
"""Tokens of earlier texts that a request may name."""


class NgramStore(TrieLookahead):
    """As the trie lookahead, over earlier texts and this one.

    The earlier texts are part of the request: two runs of one key have drafted from the same store,
    and nothing is drafted from texts that whoever asks may not see.
    ``tokenarium.backend.earlier_tokens(lab, model)`` returns those of earlier runs.
    """

    slug: ClassVar[str] = "ngram_store"
    title: ClassVar[str] = "N-gram store"
    explanation: ClassVar[str] = (
        "Looks for the last few tokens in texts of earlier runs too, and drafts the most frequent "
        "continuations as one tree."
    )
    paper: ClassVar[str] = "He et al., 2023, arXiv:2311.08252; Zhao et al., 2023, arXiv:2312.12728"
    differs: ClassVar[str] = (
        "the store is a list of token ids in the request, without a suffix array; a continuation "
        "may run from one stored text into the next, where it is rejected"
    )
    caution: ClassVar[str] = (
        "pays where earlier texts have the same wording; without any it drafts as trie_lookahead"
    )

    tokens: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (),
        max_length=MOST_TOKENS,
        description="Token ids of earlier texts, one text after another; the page fills in those "
        "of your runs and of shared ones.",
    )

    def begin(self, state: "DraftState") -> None:
        """Index the stored texts and the prompt."""
        super().begin(self._with_store(state))

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the most frequent continuations, those of longer endings first."""
        return super().propose(self._with_store(state))

    def _with_store(self, state: "DraftState") -> "DraftState":
        known = [token for token in self.tokens if token < state.vocabulary]
        return replace(state, ids=known + state.ids)
