"""Sample from the target, and see whether the token was drafted."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.rule import AcceptanceTests, Residual, Rule
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class SampleAndMatch(Rule):
    """Samples the next token from the target alone, and accepts the child that is this token.

    What is sampled does not depend on the tree, so it is exact for any drafter. A child's
    probability to be accepted is what the target gives it among the tokens that were not tested
    before it.
    """

    slug: ClassVar[str] = "sample_and_match"
    title: ClassVar[str] = "Sample and match"
    explanation: ClassVar[str] = (
        "Samples the next token from the target as decoding without drafts would, and goes on "
        "where that token was drafted: exact for drafts of any kind."
    )
    paper: ClassVar[str] = "He et al., 2023, arXiv:2311.08252"
    exact_for: ClassVar[frozenset[Draw]] = frozenset(
        {"deterministic", "iid", "without_replacement"}
    )
    needs_draft_probs: ClassVar[bool] = False
    one_sample: ClassVar[bool] = True

    def acceptance_tests(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[AcceptanceTests | Residual]:
        """Yield each child's share of what its elder siblings leave."""
        import torch

        from tokenarium.backend.speculation.distribution import acceptance_ratio, prob_of, without

        left = torch.ones_like(target[:, 0])
        for rank, token in enumerate(children.unbind(-1)):
            known = (children[:, :rank] == token[:, None]).any(-1)
            share = prob_of(target, token).where(~known, 0)
            accept = acceptance_ratio(share, left)
            yield AcceptanceTests(accept, accept)
            left = (left - share).clamp_min(0)
        yield Residual(without(target, children))
