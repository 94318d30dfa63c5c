"""Accept what the target would not be surprised by."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.rule import Promise, Rest, Rule, Trials
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class Typical(Rule):
    """Accepts what the target finds likely enough, and takes the longest such path.

    A child passes where target > min(threshold, entropy_factor * exp(-entropy of the target)).
    """

    slug: ClassVar[str] = "typical"
    title: ClassVar[str] = "Typical acceptance"
    explanation: ClassVar[str] = (
        "Accepts every guess that the target finds likely enough, less strictly where the target "
        "is unsure, and takes the longest path. Faster, and the text has another law than the "
        "target's."
    )
    paper: ClassVar[str] = "Cai et al., 2024, arXiv:2401.10774"
    differs: ClassVar[str] = (
        "the token after the path is drawn from the target's law; entropy is that of the law after "
        "all processors"
    )
    promise: ClassVar[Promise] = "relaxed"
    draws: ClassVar[frozenset[Draw]] = frozenset({"deterministic", "iid", "without_replacement"})
    reads_draft: ClassVar[bool] = False
    longest: ClassVar[bool] = True

    threshold: float = Field(
        0.09,
        gt=0,
        le=1,
        description="A guess at least this likely always passes; the authors' value is 0.09.",
    )
    entropy_factor: float = Field(
        0.3,
        gt=0,
        le=1,
        description="How likely a guess must be for a target that is sure; the authors' value is "
        "0.3, the root of the threshold.",
    )

    def trials(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[Trials | Rest]:
        """Yield certainty for what is likely enough, impossibility for the rest."""
        import torch

        from tokenarium.backend.speculation.distribution import probability

        entropy = -torch.xlogy(target, target).sum(-1)  # nats
        least = (self.entropy_factor * (-entropy).exp()).clamp_max(self.threshold)
        for token in children.unbind(-1):
            wanted = probability(target, token)
            yield Trials((wanted > least).to(target.dtype), wanted)
        yield Rest(target)
