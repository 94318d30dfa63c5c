"""Several tokens sampled without replacement, tested one after the other."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.rule import AcceptanceTests, Residual, Rule
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class Recursive(Rule):
    """Tests each child by min(1, target/draft), both being what the rejected children leave.

    The target's is the residual norm((target - draft)+); the draft's loses the token that was
    tested and is renormalised, as it was when the next child was drawn.
    """

    slug: ClassVar[str] = "recursive"
    title: ClassVar[str] = "Recursive (without replacement)"
    explanation: ClassVar[str] = (
        "Tests tokens that were drafted without replacement, in the order they were drawn: both "
        "models' probabilities are those that remain after the tokens that were rejected."
    )
    paper: ClassVar[str] = "Jeon et al., 2024, arXiv:2402.14160"
    exact_for: ClassVar[frozenset[Draw]] = frozenset({"without_replacement"})
    measured_bias: ClassVar[Mapping[Draw, tuple[float, float]]] = {
        "deterministic": (0.36, 0.72),
        "iid": (0.03, 0.29),
    }

    def acceptance_tests(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[AcceptanceTests | Residual]:
        """Yield each child's test against what remains of both distributions."""
        from tokenarium.backend.speculation.distribution import (
            acceptance_ratio,
            prob_of,
            residual,
            without,
        )

        assert draft is not None
        last = children.shape[-1] - 1
        for rank, token in enumerate(children.unbind(-1)):
            target_prob, draft_prob = prob_of(target, token), prob_of(draft, token)
            yield AcceptanceTests(
                acceptance_ratio(target_prob, draft_prob), target_prob, draft_prob
            )
            target = residual(target, draft)
            if rank < last:
                draft = without(draft, token[:, None])
        yield Residual(target)
