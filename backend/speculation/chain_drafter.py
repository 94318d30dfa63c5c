"""What drafters of chains share: a stop rule, and the score below which a chain ends."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.stop_rule import StopRule, StopRuleName

if TYPE_CHECKING:
    from torch import Tensor


class ChainDrafter(Drafter):
    """A drafter of one token after another, which ends where its stop rule scores low."""

    branches: ClassVar[bool] = False

    stop_below: float = Field(
        0.0,
        ge=0,
        le=1,
        description="End the chain after a token less probable than this, or, by another stop rule "
        "than confidence, where that scores less; 0 never does.",
    )
    stop_rule: StopRuleName = Field(
        "confidence",
        description="What is compared with stop_below: the probability of the last token, the "
        "product over the chain, or a bound from the draft's entropy.",
        json_schema_extra={"since": 2},
    )

    def ends(self, probabilities: Sequence[float], probs: "Tensor") -> bool:
        """Return whether a chain ends with its last token.

        Args:
            probabilities: [n] of each token of the chain under the draft.
            probs: [V] the distribution that the last of them was drawn from.
        """
        if not self.stop_below:
            return False
        rule = StopRule.registry.find(self.stop_rule)()
        return rule.score(probabilities, probs) < self.stop_below
