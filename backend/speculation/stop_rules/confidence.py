"""End a chain after a token that the draft itself found unlikely."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.stop_rule import StopRule

if TYPE_CHECKING:
    from torch import Tensor


class Confidence(StopRule):
    """The draft's probability of the last token, as transformers does."""

    slug: ClassVar[str] = "confidence"
    title: ClassVar[str] = "Confidence"
    explanation: ClassVar[str] = "Ends a chain after a token that the draft gave little."
    paper: ClassVar[str] = "Kim et al., 2023, arXiv:2302.07863"
    differs: ClassVar[str] = "looks at the token that was drafted in place of the likeliest"

    def score(self, probabilities: Sequence[float], probs: "Tensor") -> float:  # noqa: ARG002
        """Return the probability of the last token."""
        return probabilities[-1]
