"""Draw from the target, and see whether it was guessed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.rule import Rest, Rule, Trials
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class SampleAndMatch(Rule):
    """Draws the next token from the target's law alone, and accepts the child that is this token.

    The draw does not know the tree, so any guesses will do. A child's accept probability is what
    the target gives it among the tokens that were not tried before it.
    """

    slug: ClassVar[str] = "sample_and_match"
    title: ClassVar[str] = "Sample and match"
    explanation: ClassVar[str] = (
        "Draws the next token from the target as plain sampling would, and goes on where that "
        "token was guessed: right for guesses of any kind."
    )
    paper: ClassVar[str] = "He et al., 2023, arXiv:2311.08252"
    draws: ClassVar[frozenset[Draw]] = frozenset({"deterministic", "iid", "without_replacement"})
    reads_draft: ClassVar[bool] = False
    one_draw: ClassVar[bool] = True

    def trials(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[Trials | Rest]:
        """Yield each child's share of what its elder siblings leave."""
        import torch

        from tokenarium.backend.speculation.distribution import probability, ratio, without

        left = torch.ones_like(target[:, 0])
        for rank, token in enumerate(children.unbind(-1)):
            known = (children[:, :rank] == token[:, None]).any(-1)
            share = probability(target, token).where(~known, 0)
            accept = ratio(share, left)
            yield Trials(accept, accept)
            left = (left - share).clamp_min(0)
        yield Rest(without(target, children))
