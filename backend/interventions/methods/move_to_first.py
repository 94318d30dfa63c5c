"""Send a head's attention to the first token."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.interventions.declaration import Acts, Intervention
from tokenarium.backend.models.choice import check_head

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.models.loaded import LoadedModel
    from tokenarium.backend.observe.layer import Change, Layer, Reweigh
    from tokenarium.kernels.attention_stats import Rows


class MoveToFirst(Intervention):
    """With share 1 every query of the head reads the first token's value and nothing else."""

    slug: ClassVar[str] = "move_to_bos"
    title: ClassVar[str] = "Move a head's mass to the first token"
    explanation: ClassVar[str] = (
        "Lets one head look at the first token (BOS) only, as a dormant head does: if nothing "
        "changes, the head was dormant already."
    )
    paper: ClassVar[str] = "Guo et al., 2024, arXiv:2410.13835"
    differs: ClassVar[str] = (
        "a part of the mass can be moved; a learned sink logit keeps its share of it"
    )
    acts: ClassVar[Acts] = "reshape"

    layer: int = Field(0, ge=0, description="Layer, from 0.")
    head: int = Field(0, ge=0, description="Query head, from 0.")
    share: float = Field(1.0, ge=0, le=1, description="Share of every row's mass that is moved.")

    def changes(self, loaded: "LoadedModel", heads: int) -> "dict[int, Change]":
        """Change the one head."""
        from tokenarium.backend.observe.layer import Change

        check_head(self.layer, self.head, len(loaded.layers), heads)
        return {self.layer: Change(self._begin, (self.head,))}

    def _begin(self, _: "Layer") -> "Reweigh":
        def reweigh(rows: "Rows") -> "Tensor":
            weights = rows.weights * (1 - self.share)
            weights[..., 0] += rows.weights.sum(-1) * self.share
            return weights

        return reweigh
