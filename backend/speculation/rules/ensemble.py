"""Accept by a mixture of target and draft, whose distribution the text then has."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.rule import AcceptanceTests, Promise, Residual, Rule
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class Ensemble(Rule):
    """Accepts with min(1, mixture/draft), where mixture = weight target + (1 - weight) draft.

    Only tokens that the target can say count. Where every draw is rejected, norm((mixture -
    draft)+) is sampled, so the text is distributed exactly as the mixture.
    """

    slug: ClassVar[str] = "ensemble"
    title: ClassVar[str] = "Ensemble"
    explanation: ClassVar[str] = (
        "Verifies against a mixture of both models in place of the large one alone: more guesses "
        "stay, and the text is distributed exactly as the mixture, not as the target; for chains."
    )
    paper: ClassVar[str] = "Fu et al., 2025, arXiv:2502.01662"
    differs: ClassVar[str] = (
        "tokens of probability 0 under the target are left out of the mixture; the token after a "
        "chain that was accepted whole is the target's"
    )
    promise: ClassVar[Promise] = "relaxed"
    exact_for: ClassVar[frozenset[Draw]] = frozenset({"iid", "without_replacement"})
    measured_bias: ClassVar[Mapping[Draw, tuple[float, float]]] = {"deterministic": (0.36, 0.70)}
    max_children: ClassVar[int | None] = 1

    weight: float = Field(
        0.8,
        gt=0,
        le=1,
        description="The target's share of the mixture; 1 is speculative sampling.",
    )

    def acceptance_tests(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[AcceptanceTests | Residual]:
        """Yield the test of the first child; later siblings are never accepted."""
        from tokenarium.backend.speculation.distribution import acceptance_ratio, prob_of, residual

        assert draft is not None
        mixed = self.mixture(target, draft)
        for rank, token in enumerate(children.unbind(-1)):
            mixed_prob, draft_prob = prob_of(mixed, token), prob_of(draft, token)
            accept = acceptance_ratio(mixed_prob, draft_prob)
            yield AcceptanceTests(accept if rank == 0 else accept * 0, mixed_prob, draft_prob)
        yield Residual(residual(mixed, draft))

    def mixture(self, target: "Tensor", draft: "Tensor") -> "Tensor":
        """Return the distributions [F, V] that the text has where children are drawn."""
        # Not lerp, whose last digit depends on where in a tensor a number lies.
        mixed = (draft * (1 - self.weight)).add_(target * self.weight)
        if not bool(target.amin() > 0):
            mixed.mul_(target.sign())
        return mixed.div_(mixed.sum(-1, keepdim=True))
