"""A chain that goes on until one of its tokens has probably been rejected."""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.tree import Draw, TokenTree

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.speculation.draft_state import DraftState


class SpecDecPP(Drafter):
    """As a draft chain, which stops once 1 - (a_1 a_2 ... a_n) is above ``reject_above``.

    The authors train a head on the draft that predicts each token's acceptance a. Here the draft's
    own probability of the token stands in for it, so that any pair of models will do.
    """

    slug: ClassVar[str] = "spec_dec_pp"
    title: ClassVar[str] = "SpecDec++"
    explanation: ClassVar[str] = (
        "Lets a smaller model write ahead for as long as it is likely that all of the chain stays, "
        "in place of a fixed number of tokens."
    )
    paper: ClassVar[str] = "Huang et al., 2024, arXiv:2405.19715"
    differs: ClassVar[str] = (
        "the draft's probability of a token stands in for the trained head that predicts its "
        "acceptance"
    )
    draw: ClassVar[Draw] = "iid"
    branches: ClassVar[bool] = False

    reject_above: float = Field(
        0.3,
        ge=0,
        le=1,
        description="End the chain once a rejection in it is more likely than this; 1 never does.",
    )
    shortest: int = Field(
        2, ge=1, le=32, description="Fewest tokens of a chain, as far as the draft length allows."
    )

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the chain."""
        from tokenarium.backend.speculation.draft_state import draft_chain

        return draft_chain(state, "draft model", self._ends)

    def _ends(self, probabilities: Sequence[float], probs: "Tensor") -> bool:  # noqa: ARG002
        return len(probabilities) >= self.shortest and 1 - prod(probabilities) > self.reject_above
