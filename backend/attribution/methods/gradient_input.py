"""The gradient by each embedding, times the embedding."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.attribution.attributor import Attribution, Attributor, Needs

if TYPE_CHECKING:
    from tokenarium.backend.attribution.game import Game


class GradientInput(Attributor):
    """Score of token i: e_i . dv/de_i; of a unit, the sum over its tokens."""

    slug = "gradient_input"
    title = "Gradient x input"
    explanation = (
        "Multiplies each token's embedding with the gradient of the target's log probability: what "
        "a small change of the embedding's size would do, in one reading."
    )
    paper = "Shrikumar et al., 2016, arXiv:1605.01713; Denil et al., 2014, arXiv:1412.6815"
    needs: ClassVar[Needs] = "gradients"

    def passes(self, units: int, tokens: int) -> int:  # noqa: ARG002
        """One reading, and one back."""
        return 2

    def attribute(self, game: "Game") -> Attribution:
        """Return the products."""
        from tokenarium.backend.attribution.gradients import gradient

        embedded = game.embedded()
        _, found = gradient(game, embedded[None])
        products = (found[0] * embedded).sum(-1).double().cpu().numpy()
        return Attribution(game.by_unit(products))
