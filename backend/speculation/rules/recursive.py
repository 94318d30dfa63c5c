"""Several guesses, none of them twice, tested one after the other."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.rule import Rest, Rule, Trials
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class Recursive(Rule):
    """Tests each child by min(1, target/draft), both laws being what the failed children leave.

    The target's is the leftover norm((target - draft)+); the draft's loses the token that was
    tried and is renormalised, as it was when the next child was drawn.
    """

    slug: ClassVar[str] = "recursive"
    title: ClassVar[str] = "Recursive (without replacement)"
    explanation: ClassVar[str] = (
        "Tests guesses that were drawn each once, in the order they were drawn: both models' "
        "probabilities are those that remain after the guesses that failed."
    )
    paper: ClassVar[str] = "Jeon et al., 2024, arXiv:2402.14160"
    draws: ClassVar[frozenset[Draw]] = frozenset({"without_replacement"})
    measured_bias: ClassVar[Mapping[Draw, tuple[float, float]]] = {
        "deterministic": (0.36, 0.72),
        "iid": (0.03, 0.29),
    }

    def trials(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[Trials | Rest]:
        """Yield each child's test against what remains of both laws."""
        from tokenarium.backend.speculation.distribution import (
            leftover,
            probability,
            ratio,
            without,
        )

        assert draft is not None
        for token in children.unbind(-1):
            wanted, given = probability(target, token), probability(draft, token)
            yield Trials(ratio(wanted, given), wanted, given)
            target, draft = leftover(target, draft), without(draft, token[:, None])
        yield Rest(target)
