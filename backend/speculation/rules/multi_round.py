"""Several guesses from the same law, tested one after the other."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.rule import Rest, Rule, Trials
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class MultiRound(Rule):
    """Tests each child by min(1, target/draft), the target's law being the leftover of the last.

    The draft's law stays as it is, because each child was drawn from all of it.
    """

    slug: ClassVar[str] = "multi_round"
    title: ClassVar[str] = "Multi-round (with replacement)"
    explanation: ClassVar[str] = (
        "Tests several independent guesses in turn, each against what the target has left after "
        "the guesses that failed."
    )
    paper: ClassVar[str] = "Miao et al., 2023, arXiv:2305.09781"
    draws: ClassVar[frozenset[Draw]] = frozenset({"iid"})
    measured_bias: ClassVar[Mapping[Draw, tuple[float, float]]] = {
        "deterministic": (0.36, 0.83),
        "without_replacement": (0.03, 0.40),
    }

    def trials(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[Trials | Rest]:
        """Yield each child's test against the leftover."""
        from tokenarium.backend.speculation.distribution import leftover, probability, ratio

        assert draft is not None
        for token in children.unbind(-1):
            wanted, given = probability(target, token), probability(draft, token)
            yield Trials(ratio(wanted, given), wanted, given)
            target = leftover(target, draft)
        yield Rest(target)
