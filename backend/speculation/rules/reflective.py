"""Accept by what the target says of a draft that it has read, fused with what it said before."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.rule import AcceptanceTests, Promise, Residual, Rule
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor


class Reflective(Rule):
    """Accepts with min(1, fused/draft), where fused is a mean of the target's two distributions.

    The target reads the draft, a text that asks for the same again without mistakes, and the draft
    once more, in one pass: p is what it gives a token the first time, p' the second time. Fused is
    norm(p^(1 - weight) p'^weight), or (1 - weight) p + weight p'. Where the token is rejected,
    norm((fused - draft)+) is sampled, so what follows a node is distributed exactly as fused.
    """

    slug: ClassVar[str] = "reflective"
    title: ClassVar[str] = "Reflective verification"
    explanation: ClassVar[str] = (
        "Lets the target read its draft twice, the second time asked to correct it, and verifies "
        "by a mean of both distributions, so the text is not distributed as the target's; for "
        "chains."
    )
    paper: ClassVar[str] = "Wang et al., 2025, arXiv:2505.18629"
    differs: ClassVar[str] = (
        "the authors' prompt, weight and fusion were not at hand: all three are readings; the "
        "token after a chain that was accepted whole is the target's; a token of probability 0 "
        "under the target never stays"
    )
    promise: ClassVar[Promise] = "relaxed"
    exact_for: ClassVar[frozenset[Draw]] = frozenset({"iid", "without_replacement"})
    measured_bias: ClassVar[Mapping[Draw, tuple[float, float]]] = {"deterministic": (0.36, 0.76)}
    reads_model: ClassVar[bool] = True
    rereads: ClassVar[str] = "\n\nThe same continuation again, with every mistake corrected:"
    max_children: ClassVar[int | None] = 1

    weight: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of the second reading; 0 is speculative sampling.",
    )
    arithmetic: int = Field(
        0,
        ge=0,
        le=1,
        description="How both readings are fused: 0 multiplies (geometric mean), 1 adds "
        "(arithmetic mean).",
    )

    def of_readings(self, target: "Tensor", again: "Tensor") -> "Tensor":
        """Return the fused distributions [F, V]; the target's where nothing is left of both."""
        if self.weight == 0:
            return target
        if self.arithmetic:
            fused = target * (1 - self.weight) + again * self.weight
        else:
            fused = target.pow(1 - self.weight) * again.pow(self.weight)
        fused = fused * (target > 0)
        mass = fused.sum(-1, keepdim=True)
        return (fused / mass).where(mass > 0, target)

    def acceptance_tests(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[AcceptanceTests | Residual]:
        """Yield the test of the first child by ``target`` [F, V], which is the fused one."""
        from tokenarium.backend.speculation.rules.speculative_sampling import SpeculativeSampling

        yield from SpeculativeSampling().acceptance_tests(target, draft, children)
