"""A chain that falls back to the target by a threshold that learns from every round."""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.tree import Draw, TokenTree

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.speculation.draft_state import DraftState


class LLMCad(Drafter):
    """As a draft chain, which is verified once the product of its probabilities is below a limit.

    After a chain that was accepted whole the limit is halved, so that chains grow. Else it is
    divided by one half to the power of the share that was rejected, so that they shrink, and the
    more, the more was rejected.
    """

    slug: ClassVar[str] = "llmcad"
    title: ClassVar[str] = "Fallback by confidence (LLMCad)"
    explanation: ClassVar[str] = (
        "Lets a smaller model write ahead until its confidence in the chain is below a limit, "
        "which is lowered where all was right and raised where it was not."
    )
    paper: ClassVar[str] = "Xu et al., 2023, arXiv:2309.04255"
    differs: ClassVar[str] = (
        "one chain in place of a token tree; nothing is drafted while the target verifies; the "
        "limit's factor of one half was not compared with the authors' code"
    )
    draw: ClassVar[Draw] = "iid"
    branches: ClassVar[bool] = False

    limit: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Confidence of the chain below which the first round is verified; later rounds "
        "change it.",
    )
    factor: float = Field(
        0.5,
        gt=0,
        le=1,
        description="What the limit is multiplied by after a chain that was accepted whole; 1 "
        "keeps the limit.",
    )

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the chain, after the limit learned from what became of the last one."""
        from tokenarium.backend.speculation.draft_state import draft_chain

        limit = self._learned(state)

        def ends(probabilities: Sequence[float], probs: "Tensor") -> bool:  # noqa: ARG001
            return prod(probabilities) < limit

        tree = draft_chain(state, "draft model", ends)
        state.memory["drafted"] = (len(state.ids), len(tree) - 1)
        return tree

    def _learned(self, state: "DraftState") -> float:
        length, drafted = state.memory.get("drafted", (0, 0))
        limit: float = state.memory.get("limit", self.limit)
        if drafted and len(state.ids) > length:
            right = min(1.0, (len(state.ids) - length - 1) / drafted)
            limit *= self.factor if right == 1 else self.factor ** (right - 1)
            limit = min(limit, 1.0)
        state.memory["limit"] = limit
        return limit
