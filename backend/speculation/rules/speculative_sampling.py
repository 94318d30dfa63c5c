"""The first rule that keeps the target's law: one child, one test."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.rule import Rest, Rule, Trials
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class SpeculativeSampling(Rule):
    """Accepts the only child with probability min(1, target/draft), else draws from the leftover.

    The leftover is what the target gives beyond the draft, norm((target - draft)+).
    """

    slug: ClassVar[str] = "speculative_sampling"
    title: ClassVar[str] = "Speculative sampling"
    explanation: ClassVar[str] = (
        "Accepts a guess as often as the target likes it compared with the draft that drew it, and "
        "replaces it by what the draft gave too little; for chains."
    )
    paper: ClassVar[str] = "Leviathan, Kalman and Matias, 2022, arXiv:2211.17192"
    draws: ClassVar[frozenset[Draw]] = frozenset({"iid", "without_replacement"})
    measured_bias: ClassVar[Mapping[Draw, tuple[float, float]]] = {
        "deterministic": (0.30, 0.70),
    }
    most_children: ClassVar[int | None] = 1

    def trials(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[Trials | Rest]:
        """Yield the test of the first child; later siblings are never accepted."""
        from tokenarium.backend.speculation.distribution import leftover, probability, ratio

        assert draft is not None
        for rank, token in enumerate(children.unbind(-1)):
            wanted, given = probability(target, token), probability(draft, token)
            accept = ratio(wanted, given)
            yield Trials(accept if rank == 0 else accept * 0, wanted, given)
        yield Rest(leftover(target, draft))
