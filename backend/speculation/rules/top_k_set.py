"""Accept by the target's probabilities alone, one child at a time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.rule import AcceptanceTests, Residual, Rule
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class TopKSet(Rule):
    """Accepts a child with the target's own probability, then rules it out and renormalises.

    As if the draft had been certain of the child. What happens to a given set of children does not
    depend on how they were chosen, so it is exact for any drafter; it accepts as often as sample
    and match.
    """

    slug: ClassVar[str] = "top_k_set"
    title: ClassVar[str] = "Set of guesses"
    explanation: ClassVar[str] = (
        "Accepts each drafted token with the probability the target gives it among what is left: "
        "exact for drafts of any kind, made for the likeliest few."
    )
    paper: ClassVar[str] = "Li et al., 2024, arXiv:2406.16858"
    exact_for: ClassVar[frozenset[Draw]] = frozenset(
        {"deterministic", "iid", "without_replacement"}
    )
    needs_draft_probs: ClassVar[bool] = False

    def acceptance_tests(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[AcceptanceTests | Residual]:
        """Yield each child's share of what its elder siblings leave."""
        from tokenarium.backend.speculation.distribution import acceptance_ratio, prob_of, without

        left, last = target, children.shape[-1] - 1
        for rank, token in enumerate(children.unbind(-1)):
            target_prob = prob_of(left, token)
            accept = acceptance_ratio(target_prob, left.sum(-1))
            yield AcceptanceTests(accept, accept)
            if rank < last:
                left = left.scatter(-1, token[:, None], 0)
        yield Residual(without(target, children))
