"""Change one unit at a time, and see what that does to the target."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from tokenarium.backend.attribution.attributor import Attribution, Attributor, Needs
from tokenarium.backend.attribution.sampled import with_interval

if TYPE_CHECKING:
    from tokenarium.backend.attribution.game import Game


class Occlusion(Attributor):
    """Score of unit i: v(text) - v(text with unit i changed)."""

    slug = "occlusion"
    title = "Occlusion"
    explanation = (
        "Changes one unit at a time: its score is how far the target's log probability falls."
    )
    paper = "Zeiler & Fergus, 2014, arXiv:1311.2901; Li et al., 2016, arXiv:1612.08220"
    needs: ClassVar[Needs] = "passes"
    unit = "nats"

    change: Literal["delete", "mask", "replace"] = Field(
        "delete",
        description="delete takes a unit out, and later tokens close up; mask leaves it where it "
        "is, unseen by other tokens (the last token before the target still reads itself); replace "
        "puts tokens there that the model finds likely.",
    )
    draws: int = Field(4, ge=2, le=8, description="Replacements that are averaged, of replace.")

    def passes(self, units: int, tokens: int) -> int:  # noqa: ARG002
        """One for each unit, and for each draw."""
        return units * (self.draws if self.change == "replace" else 1)

    def attribute(self, game: "Game") -> Attribution:
        """Return the fall of each unit, with an interval where replacements are drawn."""
        one_out = ~np.eye(len(game.units), dtype=bool)
        if self.change != "replace":
            return Attribution(game.whole - game.values(one_out, self.change))
        falls = np.stack(
            [game.whole - game.values(one_out, "replace", draw) for draw in range(self.draws)]
        )
        return with_interval(falls)
