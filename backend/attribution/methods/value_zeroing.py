"""Zero the value vector of one token, and see what that does."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from tokenarium.backend.attribution.attributor import Attribution, Attributor, Needs

if TYPE_CHECKING:
    from tokenarium.backend.attribution.game import Game


class ValueZeroing(Attributor):
    """Score of token j: the last row of the product over layers of C, rows summing to 1.

    C[i, j] is the cosine distance of token i's state after a layer with and without j's value.
    """

    slug = "value_zeroing"
    title = "Value zeroing"
    explanation = (
        "Sets the value vector of one token to zero in a layer: how far the states after that "
        "layer turn, multiplied through the layers, is how much each token mixed into the last."
    )
    paper = "Mohebbi et al., 2023, arXiv:2301.12971"
    differs = (
        "of=target is another measure: the fall of the target's log probability with a unit's "
        "values zeroed in every layer, which looks at the target"
    )
    needs: ClassVar[Needs] = "attention"
    signed = False

    of: Literal["states", "target"] = Field(
        "states",
        description="states as in the paper, the same for every target; target for the fall of "
        "the log probability, in nats.",
    )

    def passes(self, units: int, tokens: int) -> int:
        """One text for each token, or for each unit."""
        return 1 + max(tokens, units) if self.of == "states" else units

    def attribute(self, game: "Game") -> Attribution:
        """Return the last row, or the falls."""
        if self.of == "target":
            one_out = ~np.eye(len(game.units), dtype=bool)
            return Attribution(game.whole - game.values(one_out, "zero_value"))
        from tokenarium.backend.attribution.mixing import mixing_by_layer, rolled_out

        note = "value zeroing of states does not look at the target: this map is that of every one"
        return Attribution(game.by_unit(rolled_out(mixing_by_layer(game))), notes=(note,))
