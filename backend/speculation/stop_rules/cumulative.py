"""End a chain once one of its tokens has probably been rejected."""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.stop_rule import StopRule

if TYPE_CHECKING:
    from torch import Tensor


class Cumulative(StopRule):
    """The product of the probabilities along the chain, as a stand-in for its acceptance.

    A further token can only be accepted if all before it are. Where that is less likely than what a
    token costs to draft, as a share of what a token of the target costs, drafting it does not pay.
    """

    slug: ClassVar[str] = "cumulative"
    title: ClassVar[str] = "Cumulative rejection"
    explanation: ClassVar[str] = (
        "Ends a chain once it is likely, by the draft's own probabilities, that a token of it is "
        "rejected."
    )
    paper: ClassVar[str] = "Huang et al., 2024, arXiv:2405.19715"
    differs: ClassVar[str] = (
        "the draft's probability of a token stands in for the trained acceptance head"
    )

    def score(self, probabilities: Sequence[float], probs: "Tensor") -> float:  # noqa: ARG002
        """Return the product of all probabilities."""
        return prod(probabilities)
