"""Keep stand-ins for what would be dropped."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tokenarium.backend.cache.terms import Need, Scope
from tokenarium.backend.cache.wrapper_policy import Wrapper

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView


class KVCrush(Wrapper):
    """Part of the budget goes to tokens that represent, by how heads see them, the dropped ones."""

    slug: ClassVar[str] = "kvcrush"
    title: ClassVar[str] = "KVCrush"
    explanation: ClassVar[str] = (
        "Keeps the best tokens of another policy, and stand-ins for the rest: tokens spread evenly "
        "over an order of how alike the heads rate them."
    )
    paper: ClassVar[str] = "Jha et al., 2025, arXiv:2503.00022"
    differs: ClassVar[str] = (
        "a token's bits are one per KV head, set where it is in the upper half of that head's "
        "scores; one set per layer; the share of stand-ins is this project's choice"
    )
    scope: ClassVar[Scope] = "layer"
    needs: ClassVar[frozenset[Need]] = frozenset({"random"})

    share: float = Field(
        0.25, ge=0, lt=1, description="Share of the budget for stand-ins; 0 leaves the base alone."
    )
    anchor: Literal["random", "zeros", "ones", "mean", "alternating"] = Field(
        "random",
        description="The bits from which tokens' distances are counted: drawn by the seed, fixed, "
        "or those that most of the candidates have.",
    )

    def kept(self, view: "LayerView", budget: int) -> "Choice":
        """Keep the base's best, then every n-th of the others in the order of their distance."""
        import torch

        from tokenarium.backend.cache.layer_view import Choice
        from tokenarium.backend.cache.topk import highest

        scores = self.scores(view).float()
        protected = self.protects(view.budget, view.layer, view.prompt)
        sinks = int((view.positions[0] < protected.first).sum())
        asked = min(round(self.share * budget), budget - max(1, sinks + protected.newest))
        choice = highest(scores, view, budget - asked, protected, "layer")
        best = choice.indices[0]
        others = torch.ones(scores.shape[1], dtype=torch.bool, device=scores.device)
        others[best] = False
        candidates = others.nonzero()[:, 0]
        bits = _upper_half(scores)[:, candidates]
        distance = (bits != self._anchor(bits, view)).sum(0)
        order = candidates[torch.argsort(distance, stable=True)]
        steps = torch.arange(asked, device=scores.device)
        chosen = order[(2 * steps + 1) * len(order) // max(1, 2 * asked)]
        rows = torch.cat((best, chosen)).sort().values
        return Choice([rows] * view.groups, choice.scores)

    def _anchor(self, bits: "Tensor", view: "LayerView") -> "Tensor":
        """Return [G, 1] bool."""
        import torch

        groups = len(bits)
        fixed = {
            "zeros": torch.zeros(groups, dtype=torch.bool),
            "ones": torch.ones(groups, dtype=torch.bool),
            "alternating": torch.arange(groups) % 2 == 1,
        }
        if self.anchor == "mean":
            return bits.float().mean(1, keepdim=True) > 0.5
        if self.anchor == "random":
            drawn = torch.randint(2, (groups,), generator=view.random).bool()
        else:
            drawn = fixed[self.anchor]
        return drawn[:, None].to(bits.device)


def _upper_half(scores: "Tensor") -> "Tensor":
    """Return [G, S] bool: true for the floor(S / 2) highest of each head, ties to the older."""
    import torch

    upper = torch.argsort(scores, dim=-1, descending=True, stable=True)[:, : scores.shape[1] // 2]
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, upper, value=True)
