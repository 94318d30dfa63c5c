"""Attention multiplied through the layers, with the residual stream as half of each."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tokenarium.backend.attribution.attributor import Attribution, Attributor, Needs

if TYPE_CHECKING:
    from tokenarium.backend.attribution.game import Game


class Rollout(Attributor):
    """Score of token j: the last row of the product over layers of (A + I) / 2, rows summing to 1.

    A [T, T] is a layer's attention, its heads put together.
    """

    slug = "rollout"
    title = "Attention rollout"
    explanation = (
        "Multiplies the attention of all layers, half of each being the residual stream: how much "
        "of the last position stems from each token if attention were all there is."
    )
    paper = "Abnar & Zuidema, 2020, arXiv:2005.00928"
    needs: ClassVar[Needs] = "attention"
    signed = False

    heads: Literal["mean", "max"] = Field(
        "mean", description="How the heads of a layer are put together, before rows sum to 1."
    )

    def passes(self, units: int, tokens: int) -> int:  # noqa: ARG002
        """One reading."""
        return 1

    def attribute(self, game: "Game") -> Attribution:
        """Return the last row, and that it is the same for every target."""
        import torch

        from tokenarium.backend.attribution.mixing import attention_by_layer, rolled_out

        attention = attention_by_layer(game, self.heads)
        length = len(game.ids)
        one = torch.eye(length, dtype=torch.float64)
        halves = [(each / each.sum(-1, keepdim=True) + one) / 2 for each in attention]
        note = "attention rollout does not look at the target: this map is that of every target"
        return Attribution(game.by_unit(rolled_out(halves)), notes=(note,))
