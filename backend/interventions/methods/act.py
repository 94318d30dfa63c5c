"""Calibrate the sinks that stand inside a text."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from tokenarium.backend.interventions.declaration import Acts, Intervention
from tokenarium.backend.models.choice import check_head

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.models.loaded import LoadedModel
    from tokenarium.backend.observe.layer import Change, Layer, Reweigh
    from tokenarium.kernels.attention_stats import Rows

Number = Annotated[int, Field(ge=0)]


class CalibrateSinks(Intervention):
    """A sink is a key other than the first whose received attention is above the threshold."""

    slug: ClassVar[str] = "act"
    title: ClassVar[str] = "Calibrate sinks (ACT)"
    explanation: ClassVar[str] = (
        "Turns down the attention that tokens inside the text soak up, and gives it back to the "
        "other tokens in proportion to what they had."
    )
    paper: ClassVar[str] = "Yu et al., 2024, arXiv:2406.15765"
    differs: ClassVar[str] = (
        "heads are chosen by you, not by a search on labelled samples; the default layers leave "
        "out the first two and the last, as the paper's 2 to 30 of 32 do (none in a model of fewer "
        "than 4 layers)"
    )
    acts: ClassVar[Acts] = "reshape"

    threshold: float = Field(
        0.1, gt=0, lt=1, description="Mean attention received above which a token is a sink."
    )
    factor: float = Field(0.4, ge=0, le=1, description="What a sink keeps of its attention.")
    least_queries: int = Field(
        1, ge=1, le=1024, description="Fewest queries a mean must rest on; the paper takes 1."
    )
    heads: tuple[tuple[Number, Number], ...] = Field(
        (), max_length=4096, description="Pairs of layer and head; none for all of those layers."
    )

    def changes(self, loaded: "LoadedModel", heads: int) -> "dict[int, Change]":
        """Change the chosen heads, or all heads of the middle layers."""
        from tokenarium.backend.observe.layer import Change

        layers = len(loaded.layers)
        for layer, head in self.heads:
            check_head(layer, head, layers, heads)
        if self.heads:
            return {
                layer: Change(
                    self._begin, tuple(sorted({h for at, h in self.heads if at == layer}))
                )
                for layer in sorted({layer for layer, _ in self.heads})
            }
        middle = range(2, layers - 1) if layers > 3 else range(layers)
        return {layer: Change(self._begin) for layer in middle}

    def _begin(self, layer: "Layer") -> "Reweigh":
        received = layer.received()  # [H', S]
        queries = layer.queries_from()
        sinks = (received / queries > self.threshold) & (queries >= self.least_queries)
        sinks[:, 0] = False
        column = sinks.float()[..., None]  # [H', S, 1]

        def reweigh(rows: "Rows") -> "Tensor":
            weights = rows.weights
            seen = weights.shape[-1]
            soaked = weights @ column[:, :seen]  # [H', rows, 1]
            others = weights @ (1 - column[:, :seen])
            # A row that sees nothing but sinks has nobody to give to, and stays as it is.
            alone = others == 0
            gain = (1 + (1 - self.factor) * soaked / others).masked_fill(alone, 1)
            kept = alone.float().clamp(min=self.factor)
            return weights * kept.where(sinks[:, None, :seen], gain)

        return reweigh
