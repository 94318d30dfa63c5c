"""What a stop rule declares: a score of a drafted chain, below which drafting ends."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, GetJsonSchemaHandler

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of

if TYPE_CHECKING:
    from torch import Tensor


class StopRule(Method):
    """One way to say when a chain is long enough; subclassing registers it.

    A rule scores the chain after each drafted token, between 0 and 1: the less, the less the next
    token is worth drafting. A drafter ends its chain where the score is below its ``stop_below``.
    The token that was scored stays: what is drafted next may depend on what was drawn, but to leave
    out a token because of what it is would bias the output.

    A chain of tokens that the draft gave .8 and .5:

    >>> import torch
    >>> probs = torch.tensor([0.5, 0.3, 0.2])
    >>> StopRule.registry.find("confidence")().score([0.8, 0.5], probs)
    0.5
    >>> StopRule.registry.find("cumulative")().score([0.8, 0.5], probs)
    0.4
    """

    registry: ClassVar[Registry[type["StopRule"]]] = Registry(
        "stop_rule", modules_of("tokenarium.backend.speculation.stop_rules")
    )

    slug: ClassVar[str]
    """Name in requests."""
    title: ClassVar[str]
    """Name for people."""
    explanation: ClassVar[str]
    """What it looks at, in one sentence."""
    paper: ClassVar[str]
    """Authors, year, arXiv id."""
    differs: ClassVar[str] = "no"
    """How this implementation differs from the paper; the rule is then marked a variant."""

    def score(self, probabilities: Sequence[float], probs: "Tensor") -> float:
        """Return between 0 and 1 how much the next token is worth drafting.

        Args:
            probabilities: [n] of each token of the chain under the draft, at least one.
            probs: [V] the distribution that the last of them was drawn from.
        """
        raise NotImplementedError


class _Known:
    """Offers every registered rule where the declaration is shown as a form."""

    def __get_pydantic_json_schema__(
        self, schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "enum": [rule.slug for rule in StopRule.registry.all()]}


def _found(slug: str) -> str:
    return StopRule.registry.find(slug).slug


StopRuleName = Annotated[str, AfterValidator(_found), _Known()]
"""Slug of a stop rule."""
