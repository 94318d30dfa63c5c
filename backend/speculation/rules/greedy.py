"""Accept the target's own likeliest token."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.rule import AcceptanceTests, Residual, Rule
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class Greedy(Rule):
    """Accepts the target's likeliest token wherever it was drafted; ties go to the lower id."""

    slug: ClassVar[str] = "greedy"
    title: ClassVar[str] = "Greedy match"
    explanation: ClassVar[str] = (
        "Accepts the drafted token that is the target's likeliest, so that the text is the one "
        "that greedy decoding writes without drafts."
    )
    paper: ClassVar[str] = "Stern, Shazeer and Uszkoreit, 2018, arXiv:1811.03115"
    exact_for: ClassVar[frozenset[Draw]] = frozenset(
        {"deterministic", "iid", "without_replacement"}
    )
    needs_draft_probs: ClassVar[bool] = False
    greedy_only: ClassVar[bool] = True
    one_sample: ClassVar[bool] = True

    def acceptance_tests(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[AcceptanceTests | Residual]:
        """Yield 1 for the likeliest token, 0 for others."""
        import torch

        from tokenarium.backend.speculation.distribution import prob_of

        best = target.argmax(-1, keepdim=True)
        for rank, token in enumerate(children.unbind(-1)):
            known = (children[:, :rank] == token[:, None]).any(-1)
            accept = (token == best[:, 0]) & ~known
            yield AcceptanceTests(accept.to(target.dtype), prob_of(target, token))
        yield Residual(torch.zeros_like(target).scatter_(-1, best, 1))

    def bonus(self, target: "Tensor", uniform: "Tensor") -> "Tensor":
        """Return the likeliest tokens."""
        return target.argmax(-1)
