"""Several tokens sampled from one distribution, all tested by one threshold."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.rule import AcceptanceTests, Residual, Rule
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


_HALVINGS = 16
"""Of the interval that holds rho; a rho above the least is exact too, and accepts a little less."""


class KSeq(Rule):
    """Tests every child by min(1, target / (rho draft)), with the least rho that stays exact.

    A child passes with probability b = sum of min(draft, target/rho), some of k with a = 1 -
    (1-b)^k. The residual is (target - min(draft, target/rho) a/b) / (1-a), a distribution as long
    as a <= rho b; the least such rho accepts most, and lies between 1 and k.
    """

    slug: ClassVar[str] = "k_seq"
    title: ClassVar[str] = "k-SEQ"
    explanation: ClassVar[str] = (
        "Tests several independently drafted tokens by the same threshold, made stricter by just "
        "as much as so many chances require."
    )
    paper: ClassVar[str] = "Sun et al., 2023, arXiv:2310.15141"
    exact_for: ClassVar[frozenset[Draw]] = frozenset({"iid"})
    measured_bias: ClassVar[Mapping[Draw, tuple[float, float]]] = {
        "deterministic": (0.30, 0.86),
        "without_replacement": (0.06, 0.43),
    }

    def acceptance_tests(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[AcceptanceTests | Residual]:
        """Yield each child's test with the rho of so many children."""
        import torch

        from tokenarium.backend.speculation.distribution import acceptance_ratio, prob_of, residual

        assert draft is not None
        count = children.shape[-1]
        rho = least_rho(target, draft, count)  # [F, 1]
        for token in children.unbind(-1):
            target_prob, draft_prob = prob_of(target, token), prob_of(draft, token)
            yield AcceptanceTests(
                acceptance_ratio(target_prob, rho[:, 0] * draft_prob), target_prob, draft_prob
            )
        if count == 1:  # rho is 1, and what is left is as of speculative sampling
            yield Residual(residual(target, draft))
            return
        shared = torch.minimum(draft, target / rho)
        each = shared.sum(-1, keepdim=True)
        some = 1 - (1 - each).clamp_min(0) ** count
        taken = torch.where(each > 0, some / each, 0)
        left = (target - shared * taken).clamp_(min=0)
        mass = left.sum(-1, keepdim=True)
        yield Residual(torch.where(mass > 0, left / mass, target))


def least_rho(target: "Tensor", draft: "Tensor", count: int) -> "Tensor":
    """Return the least rho [F, 1] in [1, count] exact for so many tests, or a hair above."""
    import torch

    low = torch.ones_like(target[:, :1])
    high = low * count
    for _ in range(_HALVINGS if count > 1 else 0):
        middle = (low + high) / 2
        passed = torch.minimum(draft * middle, target).sum(-1, keepdim=True)  # rho b
        borne = 1 - (1 - passed / middle).clamp_min(0) ** count <= passed
        low, high = low.where(borne, middle), high.where(~borne, middle)
    return high
