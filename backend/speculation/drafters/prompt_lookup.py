"""Copy what followed the same n-gram before."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tokenarium.backend.speculation.drafter import Drafter, Source
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

if TYPE_CHECKING:
    from tokenarium.backend.speculation.draft_state import DraftState


class PromptLookup(Drafter):
    """Finds the longest ending of the text that occurs in it before, and copies its continuation.

    The text 1 2 3 4 2 3 ends in the 2-gram 2 3, which was followed by 4 2 3: that is drafted. A
    copy that reaches the end of the text goes on with what it copied: 1 2 1 2 drafts 1 2 1 2 ...
    """

    slug: ClassVar[str] = "prompt_lookup"
    title: ClassVar[str] = "Prompt lookup"
    explanation: ClassVar[str] = (
        "Looks for the last few tokens earlier in the text, and drafts what followed them there."
    )
    paper: ClassVar[str] = (
        "Saxena, 2023, github.com/apoorvumang/prompt-lookup-decoding; "
        "Yang et al., 2023, arXiv:2304.04487"
    )
    differs: ClassVar[str] = (
        "takes the most recent match unless asked for the first, and a copy that reaches the end "
        "of the text goes on with what it copied unless asked to end"
    )
    draw: ClassVar[Draw] = "deterministic"
    assisted_rule: ClassVar[str] = "sample_and_match"
    source: ClassVar[Source] = "text"
    branches: ClassVar[bool] = False

    longest: int = Field(
        3, ge=1, le=16, description="Most tokens of the ending that are looked for, longest first."
    )
    match: Literal["recent", "first"] = Field(
        "recent", description="Which of several matches is copied: the most recent or the first."
    )
    goes_on: bool = Field(
        True,
        description="Whether a copy that reaches the end of the text goes on with what it copied; "
        "transformers ends it there.",
        json_schema_extra={"since": 4},
    )

    def begin(self, state: "DraftState") -> None:
        """Index the prompt."""
        state.memory["index"] = _Index(self.longest, self.match == "first")
        self._index(state)

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the copy as a chain, each token a child of the one before."""
        tree, ids = state.tree(), state.ids
        size, start = self._index(state).find(ids)
        if not size:
            return tree
        node, copied = ROOT, ids[start : start + state.draft_len]
        for place in range(min(state.draft_len, state.tree_budget)):
            if place == len(copied):
                if not self.goes_on:
                    break
                copied.append(copied[place - (len(ids) - start)])
            node = tree.add(node, copied[place], source=f"{size}-gram")
        return tree

    def _index(self, state: "DraftState") -> "_Index":
        index: _Index = state.memory["index"]
        index.learn(state.ids)
        return index


class _Index:
    """Where each n-gram of a growing text is followed by something, by its length."""

    def __init__(self, longest: int, first: bool) -> None:
        self._after: list[dict[tuple[int, ...], int]] = [{} for _ in range(longest + 1)]
        self._first = first
        self._learned = 1  # the place of the next token that follows an n-gram

    def learn(self, ids: list[int]) -> None:
        for place in range(self._learned, len(ids)):
            for size in range(1, min(len(self._after) - 1, place) + 1):
                gram = tuple(ids[place - size : place])
                if self._first:
                    self._after[size].setdefault(gram, place)
                else:
                    self._after[size][gram] = place
        self._learned = max(self._learned, len(ids))

    def find(self, ids: list[int]) -> tuple[int, int]:
        """Return the length of the longest ending seen before, 0 if none, and what follows it."""
        for size in range(min(len(self._after) - 1, len(ids)), 0, -1):
            if place := self._after[size].get(tuple(ids[-size:])):
                return size, place
        return 0, 0
