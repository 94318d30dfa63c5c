"""Silence one attention head."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.interventions.declaration import Acts, Intervention
from tokenarium.backend.models.choice import check_head

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.models.loaded import LoadedModel
    from tokenarium.backend.observe.layer import Change, Layer, Reweigh
    from tokenarium.kernels.attention_stats import Rows


class ZeroHead(Intervention):
    """The head adds nothing to the residual stream; its weights are 0."""

    slug: ClassVar[str] = "zero_head"
    title: ClassVar[str] = "Zero a head"
    explanation: ClassVar[str] = (
        "Sets the output of one head to zero: a dormant head is one that nobody misses."
    )
    paper: ClassVar[str] = (
        "Michel et al., 2019, arXiv:1905.10650; Guo et al., 2024, arXiv:2410.13835"
    )
    acts: ClassVar[Acts] = "mask"

    layer: int = Field(0, ge=0, description="Layer, from 0.")
    head: int = Field(0, ge=0, description="Query head, from 0.")

    def changes(self, loaded: "LoadedModel", heads: int) -> "dict[int, Change]":
        """Change the one head."""
        from tokenarium.backend.observe.layer import Change

        check_head(self.layer, self.head, len(loaded.layers), heads)
        return {self.layer: Change(_zero, (self.head,))}


def _zero(_: "Layer") -> "Reweigh":
    def reweigh(rows: "Rows") -> "Tensor":
        return rows.weights * 0

    return reweigh
