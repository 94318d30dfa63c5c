"""The first lossless rule for sampling: one child, one test."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.rule import AcceptanceTests, Residual, Rule
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class SpeculativeSampling(Rule):
    """Accepts the only child with probability min(1, target/draft), else samples the residual.

    The residual distribution is norm((target - draft)+).
    """

    slug: ClassVar[str] = "speculative_sampling"
    title: ClassVar[str] = "Speculative sampling"
    explanation: ClassVar[str] = (
        "Accepts a drafted token with the ratio of the target's probability to the draft's, at "
        "most 1, and replaces it by a token that the draft gave too little; for chains."
    )
    paper: ClassVar[str] = "Leviathan, Kalman and Matias, 2022, arXiv:2211.17192"
    exact_for: ClassVar[frozenset[Draw]] = frozenset({"iid", "without_replacement"})
    measured_bias: ClassVar[Mapping[Draw, tuple[float, float]]] = {
        "deterministic": (0.30, 0.70),
    }
    max_children: ClassVar[int | None] = 1

    def acceptance_tests(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[AcceptanceTests | Residual]:
        """Yield the test of the first child; later siblings are never accepted."""
        from tokenarium.backend.speculation.distribution import acceptance_ratio, prob_of, residual

        assert draft is not None
        for rank, token in enumerate(children.unbind(-1)):
            target_prob, draft_prob = prob_of(target, token), prob_of(draft, token)
            accept = acceptance_ratio(target_prob, draft_prob)
            yield AcceptanceTests(accept if rank == 0 else accept * 0, target_prob, draft_prob)
        yield Residual(residual(target, draft))
