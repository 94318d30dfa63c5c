"""Accept by the mass of a group of tokens that the target likes about as much."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.rule import AcceptanceTests, Promise, Residual, Rule
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class Grouped(Rule):
    """Accepts with min(1, target mass / draft mass) of the group around the drafted token.

    A group is the token and its neighbours in the target's own order, so many to each side, whose
    probability differs from its own by less than ``spread``. A group of one is speculative
    sampling.
    """

    slug: ClassVar[str] = "grouped"
    title: ClassVar[str] = "Grouped acceptance"
    explanation: ClassVar[str] = (
        "Compares both models' mass of a group of tokens that the target finds about as likely: a "
        "guess stays if the group is wanted, so the text is not distributed as the target's; for "
        "chains."
    )
    paper: ClassVar[str] = "So et al., 2025, arXiv:2508.07747"
    differs: ClassVar[str] = (
        "groups are made by the target's probabilities alone: tokens of text have no distance in "
        "a codebook; a token of probability 0 under the target never stays"
    )
    promise: ClassVar[Promise] = "relaxed"
    exact_for: ClassVar[frozenset[Draw]] = frozenset({"iid", "without_replacement"})
    measured_bias: ClassVar[Mapping[Draw, tuple[float, float]]] = {"deterministic": (0.46, 0.87)}
    max_children: ClassVar[int | None] = 1

    neighbours: int = Field(
        7, ge=0, le=64, description="Tokens of a group to each side; the authors' group has 14."
    )
    spread: float = Field(
        0.15,
        gt=0,
        le=1,
        description="How far the probability of a neighbour may be from the token's own.",
    )

    def acceptance_tests(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[AcceptanceTests | Residual]:
        """Yield the test of the first child; later siblings are never accepted."""
        from tokenarium.backend.speculation.distribution import acceptance_ratio, prob_of, residual

        assert draft is not None
        for rank, token in enumerate(children.unbind(-1)):
            wanted, drafted = self.group_mass(target, draft, token)
            target_prob, draft_prob = prob_of(target, token), prob_of(draft, token)
            accept = acceptance_ratio(wanted, drafted).where(target_prob > 0, 0)
            yield AcceptanceTests(accept if rank == 0 else accept * 0, target_prob, draft_prob)
        yield Residual(residual(target, draft))

    def group_mass(
        self, target: "Tensor", draft: "Tensor", tokens: "Tensor"
    ) -> tuple["Tensor", "Tensor"]:
        """Return the target's and the draft's mass [F] of the group around each token [F]."""
        group, inside = self.group(target, tokens)
        likely, own = target.gather(-1, group), target.gather(-1, tokens[:, None])
        inside &= ((likely - own).abs() < self.spread) | (group == tokens[:, None])
        return (likely * inside).sum(-1), (draft.gather(-1, group) * inside).sum(-1)

    def group(self, target: "Tensor", tokens: "Tensor") -> tuple["Tensor", "Tensor"]:
        """Return each token [F] and its neighbours by the target's probability, likeliest first, of
        equals the lower id: ids [F, 2 n + 1], and which of them there are."""
        from tokenarium.kernels.vocab_stats import nearest_tokens

        found = nearest_tokens(target, tokens, self.neighbours)
        return found.clamp_min(0), found >= 0
