"""Accept every token that is typical of the target."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.rule import AcceptanceTests, Promise, Residual, Rule
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
        "Accepts every drafted token that the target finds likely enough, less strictly where the "
        "target is unsure, and takes the longest path. Faster, and the text is not distributed as "
        "the target's."
    )
    paper: ClassVar[str] = "Cai et al., 2024, arXiv:2401.10774"
    differs: ClassVar[str] = (
        "the token after the path is sampled from the target's distribution; entropy is that of "
        "the distribution after all processors"
    )
    promise: ClassVar[Promise] = "relaxed"
    exact_for: ClassVar[frozenset[Draw]] = frozenset(
        {"deterministic", "iid", "without_replacement"}
    )
    needs_draft_probs: ClassVar[bool] = False
    longest_path: ClassVar[bool] = True

    threshold: float = Field(
        0.09,
        gt=0,
        le=1,
        description="A token at least this likely always passes; the authors' value is 0.09.",
    )
    entropy_factor: float = Field(
        0.3,
        gt=0,
        le=1,
        description="How likely a token must be for a target that is sure; the authors' value is "
        "0.3, the root of the threshold.",
    )

    def acceptance_tests(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[AcceptanceTests | Residual]:
        """Yield 1 for what is likely enough, 0 for the rest."""
        from tokenarium.backend.speculation.distribution import prob_of
        from tokenarium.kernels.vocab_stats import prob_stats

        entropy = prob_stats(target).entropy
        least = (self.entropy_factor * (-entropy).exp()).clamp_max(self.threshold)
        for token in children.unbind(-1):
            target_prob = prob_of(target, token)
            yield AcceptanceTests((target_prob > least).to(target.dtype), target_prob)
        yield Residual(target)
