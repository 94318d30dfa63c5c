"""Accept what the target would say itself."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.rule import Rest, Rule, Trials
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class Greedy(Rule):
    """Follows the target's likeliest token as long as it was guessed; ties go to the lower id."""

    slug: ClassVar[str] = "greedy"
    title: ClassVar[str] = "Greedy match"
    explanation: ClassVar[str] = (
        "Accepts the guess that is the target's likeliest token, so that the text is the one that "
        "plain greedy decoding writes."
    )
    paper: ClassVar[str] = "Stern, Shazeer and Uszkoreit, 2018, arXiv:1811.03115"
    draws: ClassVar[frozenset[Draw]] = frozenset({"deterministic", "iid", "without_replacement"})
    reads_draft: ClassVar[bool] = False
    at_zero: ClassVar[bool] = True
    one_draw: ClassVar[bool] = True

    def trials(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[Trials | Rest]:
        """Yield certainty for the likeliest token, impossibility for others."""
        import torch

        from tokenarium.backend.speculation.distribution import probability

        best = target.argmax(-1, keepdim=True)
        for rank, token in enumerate(children.unbind(-1)):
            known = (children[:, :rank] == token[:, None]).any(-1)
            accept = (token == best[:, 0]) & ~known
            yield Trials(accept.to(target.dtype), probability(target, token))
        yield Rest(torch.zeros_like(target).scatter_(-1, best, 1))

    def bonus(self, target: "Tensor", uniform: "Tensor") -> "Tensor":
        """Return the likeliest tokens."""
        return target.argmax(-1)
