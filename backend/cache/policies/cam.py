"""Drop keys as H2O does, and merge the values of what is dropped into those that follow."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.cache.kvpress_call import KVPressCall
from tokenarium.backend.cache.policies.h2o import H2O
from tokenarium.backend.cache.terms import Label, Need, NullScores

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView


class CaM(H2O):
    """A dropped token's value goes on in equal parts with the next kept ones, or is lost by chance.

    It is merged with probability min(1, mass of the dropped token / mean mass of the next ones);
    then each of these m values has 1 / m of it added. Keys are dropped.
    """

    slug: ClassVar[str] = "cam"
    title: ClassVar[str] = "CaM"
    explanation: ClassVar[str] = (
        "Drops the keys that H2O drops, but adds the values of dropped tokens to those of the next "
        "kept ones, with a probability that follows their attention."
    )
    paper: ClassVar[str] = "Zhang et al., 2024, PMLR 235:58840"
    differs: ClassVar[str] = (
        "written from the paper's formula; the prompt is read with full attention and then reduced "
        "at once, without merging unless asked for; query heads that share a KV head are joined"
    )
    label: ClassVar[Label] = "merge"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention", "values", "random"})
    null_scores: ClassVar[NullScores] = "shuffled"
    batches_layers: ClassVar[bool] = False

    merged: int = Field(
        4, ge=1, le=1024, description="Next kept tokens that share a dropped token's value."
    )

    prompt: bool = Field(
        False,
        description="Whether what is dropped right after the prompt, all at once, is merged too; "
        "kept values then grow with every gap before them.",
    )

    def state_per_token(self) -> int:
        """Return two: the attention received, and that an entry is one token."""
        return 2

    def kvpress(self, compression_ratio: str) -> KVPressCall | None:  # type: ignore[override]
        """Return none: no press merges values."""
        return None

    def kept(self, view: "LayerView", budget: int) -> "Choice":
        """Return what stays, and the values that it then has."""
        from dataclasses import replace

        choice = super().kept(view, budget)
        if view.step == 0 and not self.prompt:
            return choice
        mass, values = view.state("mass"), []
        for g, count in enumerate(view.counts):
            own = view.values[g, :count]
            values.append(self._values(own, mass[g, :count], choice.indices[g], view))
        return replace(choice, values=values)

    def _values(
        self, values: "Tensor", mass: "Tensor", kept: "Tensor", view: "LayerView"
    ) -> "Tensor":
        """Return values [S, Dv] with those of the dropped entries added to the next kept ones."""
        import torch

        gone = torch.ones(len(values), dtype=torch.bool, device=values.device)
        gone[kept] = False
        dropped = gone.nonzero()[:, 0]
        first = torch.searchsorted(kept, dropped)
        places = first[:, None] + torch.arange(self.merged, device=values.device)
        there = places < len(kept)
        next_ = kept[places.clamp(max=len(kept) - 1)]  # [d, m]
        parts = there.sum(1, keepdim=True).clamp(min=1)
        mean = (mass[next_] * there).sum(1) / parts[:, 0]
        chance = (mass[dropped] / mean.clamp(min=1e-12)).clamp(max=1)
        drawn = torch.rand(len(dropped), generator=view.random).to(values.device) < chance
        share = (there & drawn[:, None]).float() / parts
        added = values[dropped].float()[:, None] * share[..., None]  # [d, m, Dv]
        whole = values.float().index_add(0, next_.flatten(), added.flatten(0, 1))
        return whole.to(values.dtype)
