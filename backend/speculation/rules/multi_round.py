"""Several tokens sampled with replacement, tested one after the other."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.rule import AcceptanceTests, Residual, Rule
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class MultiRound(Rule):
    """Tests each child by min(1, target/draft), the target being the residual of the last test.

    The draft's distribution stays as it is, because each child was drawn from all of it.
    """

    slug: ClassVar[str] = "multi_round"
    title: ClassVar[str] = "Multi-round (with replacement)"
    explanation: ClassVar[str] = (
        "Tests several independently drafted tokens in turn, each against the residual that those "
        "rejected before it left of the target's distribution."
    )
    paper: ClassVar[str] = "Miao et al., 2023, arXiv:2305.09781"
    exact_for: ClassVar[frozenset[Draw]] = frozenset({"iid"})
    measured_bias: ClassVar[Mapping[Draw, tuple[float, float]]] = {
        "deterministic": (0.36, 0.83),
        "without_replacement": (0.03, 0.40),
    }

    def acceptance_tests(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[AcceptanceTests | Residual]:
        """Yield each child's test against the residual."""
        from tokenarium.backend.speculation.distribution import acceptance_ratio, prob_of, residual

        assert draft is not None
        for token in children.unbind(-1):
            target_prob, draft_prob = prob_of(target, token), prob_of(draft, token)
            yield AcceptanceTests(
                acceptance_ratio(target_prob, draft_prob), target_prob, draft_prob
            )
            target = residual(target, draft)
        yield Residual(target)
