"""Accept by the target's law alone, one child at a time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.rule import Rest, Rule, Trials
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class TopKSet(Rule):
    """Accepts a child with the target's own probability, then rules it out and renormalises.

    As if the draft had been certain of the child. What happens to a given set of children does not
    depend on how they were found, so any guesses will do; it accepts as often as sample and match.
    """

    slug: ClassVar[str] = "top_k_set"
    title: ClassVar[str] = "Set of guesses"
    explanation: ClassVar[str] = (
        "Accepts each guess with the probability the target gives it among what is left: right "
        "for guesses of any kind, made for the likeliest few."
    )
    paper: ClassVar[str] = "Li et al., 2024, arXiv:2406.16858"
    draws: ClassVar[frozenset[Draw]] = frozenset({"deterministic", "iid", "without_replacement"})
    reads_draft: ClassVar[bool] = False

    def trials(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[Trials | Rest]:
        """Yield each child's share of what its elder siblings leave."""
        from tokenarium.backend.speculation.distribution import probability, ratio, without

        left = target
        for token in children.unbind(-1):
            wanted = probability(left, token)
            accept = ratio(wanted, left.sum(-1))
            yield Trials(accept, accept)
            left = left.scatter(-1, token[:, None], 0)
        yield Rest(without(target, children))
