"""Replace softmax attention by softplus attention with re-weighting."""

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tokenarium.backend.interventions.declaration import Acts, Intervention
from tokenarium.backend.models.choice import chosen_layers

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.models.loaded import LoadedModel
    from tokenarium.backend.observe.layer import Change, Layer, Reweigh
    from tokenarium.kernels.attention_stats import Rows

UNSHIFTED_ROWS = 3
"""The first queries see so few keys that nothing is taken off their weights."""


class Softplus(Intervention):
    """Length-scaled softplus attention (LSSA), and its re-weighted form (LSSAR).

    Query i sees N keys. Stage 1: w = softplus(ln D ln N cos(q, k)), divided by its sum. Stage 2:
    max(0, N w - 1)^power, divided by its sum; nothing is subtracted in the first three rows.
    """

    slug: ClassVar[str] = "softplus"
    title: ClassVar[str] = "Re-weighted softplus attention"
    explanation: ClassVar[str] = (
        "Computes the weights with softplus instead of the exponential and sharpens them, which "
        "leaves no need for a sink."
    )
    paper: ClassVar[str] = "Gao et al., 2025, arXiv:2501.13428"
    differs: ClassVar[str] = (
        "variant: the paper trains models with this attention, here a model trained with softmax "
        "is switched; formula read in two summaries and not in the authors' code; a row whose "
        "weights are all equal keeps stage 1; learned sinks and soft caps are left out"
    )
    acts: ClassVar[Acts] = "reshape"

    layers: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), max_length=1024, description="Layers to change, from 0; none for all."
    )
    reweight: bool = Field(True, description="Sharpen the weights (stage 2, LSSAR).")
    power: float = Field(15.0, ge=1, le=64, description="How sharp: the power p of stage 2.")
    scores: Literal["cosine", "logits"] = Field(
        "cosine",
        description="What softplus is applied to: scaled cosines as in the paper, or the model's "
        "own logits (variant).",
    )

    def changes(self, loaded: "LoadedModel", heads: int) -> "dict[int, Change]":
        """Change all heads of the chosen layers."""
        from tokenarium.backend.observe.layer import Change

        chosen = chosen_layers(self.layers, len(loaded.layers))
        return {layer: Change(self._begin) for layer in chosen}

    def _begin(self, layer: "Layer") -> "Reweigh":
        from torch.nn.functional import normalize, softplus

        size = layer.q.shape[-1]
        k = normalize(layer.k.float(), dim=-1)

        def scores(rows: "Rows", visible: "Tensor") -> "Tensor":
            if self.scores == "logits":
                return rows.logits
            q = normalize(layer.q[:, rows.start : rows.stop].float(), dim=-1)
            folded = q.reshape(k.shape[0], -1, size)
            cosine = (folded @ k[:, : visible.shape[-1]].mT).view(rows.logits.shape)
            return cosine * (math.log(size) * visible.sum(-1, keepdim=True).log())

        def reweigh(rows: "Rows") -> "Tensor":
            visible = layer.visible(rows)
            weights = softplus(scores(rows, visible)) * visible
            weights /= weights.sum(-1, keepdim=True)
            return self._sharpened(rows, weights, visible) if self.reweight else weights

        return reweigh

    def _sharpened(self, rows: "Rows", weights: "Tensor", visible: "Tensor") -> "Tensor":
        seen = visible.sum(-1, keepdim=True)
        above = weights * seen
        above[:, max(0, UNSHIFTED_ROWS - rows.start) :] -= 1
        above = above.clamp(min=0) * visible
        highest = above.amax(-1, keepdim=True)
        # Scaled by the highest, so that a large power neither overflows nor vanishes.
        sharp = (above / highest) ** self.power
        sharp /= sharp.sum(-1, keepdim=True)
        return sharp.where(highest > 0, weights)
