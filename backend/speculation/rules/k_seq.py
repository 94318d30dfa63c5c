"""Several guesses from the same law, all tested alike."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.speculation.rule import Rest, Rule, Trials
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


_HALVINGS = 16
"""Of the interval that holds rho; one above the least keeps the law, and accepts a little less."""


class KSeq(Rule):
    """Tests every child by min(1, target / (rho draft)) with one rho that the law can bear.

    With b = sum of min(draft, target/rho) a child passes, so that some of k does with probability
    a = 1 - (1-b)^k. What follows when none does is (target - min(draft, target/rho) a/b) / (1-a),
    a law as long as a <= rho b; the least such rho accepts most, and lies between 1 and k.
    """

    slug: ClassVar[str] = "k_seq"
    title: ClassVar[str] = "k-SEQ"
    explanation: ClassVar[str] = (
        "Tests several independent guesses by the same threshold, made stricter by just as much "
        "as so many chances require."
    )
    paper: ClassVar[str] = "Sun et al., 2023, arXiv:2310.15141"
    draws: ClassVar[frozenset[Draw]] = frozenset({"iid"})
    measured_bias: ClassVar[Mapping[Draw, tuple[float, float]]] = {
        "deterministic": (0.30, 0.86),
        "without_replacement": (0.06, 0.43),
    }

    def trials(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[Trials | Rest]:
        """Yield each child's test with the rho of so many children."""
        import torch

        from tokenarium.backend.speculation.distribution import probability, ratio

        assert draft is not None
        count = children.shape[-1]
        rho = least_rho(target, draft, count)  # [F, 1]
        for token in children.unbind(-1):
            wanted, given = probability(target, token), probability(draft, token)
            yield Trials(ratio(wanted, rho[:, 0] * given), wanted, given)
        shared = torch.minimum(draft, target / rho)
        each = shared.sum(-1, keepdim=True)
        some = 1 - (1 - each).clamp_min(0) ** count
        taken = torch.where(each > 0, some / each, 0)
        left = (target - shared * taken).clamp_(min=0)
        mass = left.sum(-1, keepdim=True)
        yield Rest(torch.where(mass > 0, left / mass, target))


def least_rho(target: "Tensor", draft: "Tensor", count: int) -> "Tensor":
    """Return the least rho [F, 1] in [1, count] that ``count`` tests can bear, or a hair above."""
    import torch

    low = torch.ones_like(target[:, :1])
    high = low * count
    for _ in range(_HALVINGS if count > 1 else 0):
        middle = (low + high) / 2
        passed = torch.minimum(draft * middle, target).sum(-1, keepdim=True)  # rho b
        borne = 1 - (1 - passed / middle).clamp_min(0) ** count <= passed
        low, high = low.where(borne, middle), high.where(~borne, middle)
    return high
