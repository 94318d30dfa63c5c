"""Let heads of a layer share their budget."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.cache.kvpress_call import KVPressCall, around
from tokenarium.backend.cache.wrapper_policy import Wrapper

if TYPE_CHECKING:
    from tokenarium.backend.cache.layer_view import Choice, LayerView


class AdaKV(Wrapper):
    """One ranking for all heads of a layer: heads that spread their attention keep more."""

    slug: ClassVar[str] = "adakv"
    title: ClassVar[str] = "Ada-KV"
    explanation: ClassVar[str] = (
        "Gives each head of a layer a share of the layer's budget, by ranking the tokens of all "
        "heads together; heads then hold different numbers of tokens."
    )
    paper: ClassVar[str] = "Feng et al., 2024, arXiv:2407.11550"
    differs: ClassVar[str] = (
        "scores are ranked as the base gives them, not rescaled per head; a head's floor is its "
        "best tokens and the others are ranked together, where the authors' code mixes the floor "
        "with each head's part in one ranking"
    )
    ragged: ClassVar[bool] = True

    floor: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of an equal budget, beyond the protected tokens, that every head "
        "keeps; 1 gives all heads the same.",
    )

    def kvpress(self, compression_ratio: str) -> KVPressCall | None:
        """Return its nearest press, around that of its base; none where that has none."""
        base = self.inner.kvpress(compression_ratio)
        if base is None or len(base.imports) > 1:
            return None
        differs = (
            "It hides what it drops and frees no memory, and counts protected tokens inside the "
            "floor; the ratio is that of a layer's heads together.",
        )
        return around("AdaKVPress", base, differs=differs, alpha_safeguard=self.floor)

    def kept(self, view: "LayerView", budget: int) -> "Choice":
        """Keep each head's own best, then the best (head, token) pairs of the layer."""
        import torch

        from tokenarium.backend.cache.layer_view import Choice
        from tokenarium.backend.cache.topk import highest

        scores = self.scores(view).float()
        protected = self.protects(view.budget, view.layer, view.prompt)
        sinks = int((view.positions[0] < protected.first).sum())
        always = min(sinks + protected.newest, budget)
        sure = max(always + round(self.floor * (budget - always)), 1)
        best = highest(scores, view, sure, protected, "head")
        ranked = scores.clone()
        for g, rows in enumerate(best.indices):
            ranked[g, rows] = float("inf")
        # Position before head, so that ties are shared out evenly.
        order = torch.argsort(ranked.mT.flatten(), descending=True, stable=True)
        chosen = torch.zeros_like(ranked.mT.flatten(), dtype=torch.bool)
        chosen[order[: budget * len(scores)]] = True
        own = [head.nonzero()[:, 0] for head in chosen.view(-1, len(scores)).mT]
        return Choice(own, best.scores)
