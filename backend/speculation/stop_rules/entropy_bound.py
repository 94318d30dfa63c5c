"""End a chain where the draft's entropy says that little is accepted."""

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.stop_rule import StopRule

if TYPE_CHECKING:
    from torch import Tensor

FACTOR = 0.2
"""Of the entropy in nats, under the root."""


class EntropyBound(StopRule):
    """An approximate lower bound of the acceptance, 1 - sqrt(.2 H), from the draft's entropy H.

    What was drawn does not count, only how sure the draft was.
    """

    slug: ClassVar[str] = "entropy_bound"
    title: ClassVar[str] = "Entropy bound"
    explanation: ClassVar[str] = (
        "Ends a chain where the entropy of the draft's distribution bounds acceptance too low."
    )
    paper: ClassVar[str] = "Agrawal et al., 2024, arXiv:2410.18351"
    differs: ClassVar[str] = "the threshold stays what it is; the authors' follows acceptance"

    def score(self, probabilities: Sequence[float], probs: "Tensor") -> float:  # noqa: ARG002
        """Return the bound, at least 0."""
        from torch.special import xlogy

        entropy = max(0.0, -float(xlogy(probs, probs).sum()))
        return max(0.0, 1 - sqrt(FACTOR * entropy))
