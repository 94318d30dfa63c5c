"""Go on with a pattern that was seen before."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from tokenarium.backend.benchmark.task import Exercise, Task

if TYPE_CHECKING:
    from tokenarium.backend.models.loaded import LoadedModel


class Copying(Task):
    """Random tokens stand in a text; their first ones come again, and the rest should follow."""

    slug: ClassVar[str] = "copying"
    title: ClassVar[str] = "Repeated pattern"
    explanation: ClassVar[str] = (
        "Shows random tokens once, begins them again at the end, and expects the rest."
    )
    source: ClassVar[str] = "Olsson et al., 2022, arXiv:2209.11895"
    differs: ClassVar[str] = "the pattern stands inside prose and is repeated once"
    in_chat: ClassVar[bool] = False

    cue: int = Field(8, ge=1, le=256, description="Tokens of the pattern that come again.")
    expected: int = Field(4, ge=1, le=256, description="Tokens that should then follow.")

    def exercise(
        self, loaded: "LoadedModel", length: int, depth: float, seed: int, chat: bool = False
    ) -> Exercise:
        """Show the pattern at a depth."""
        from tokenarium.backend.benchmark.haystack import haystack
        from tokenarium.backend.models.ordinary import ordinary_tokens

        ordinary = ordinary_tokens(loaded)
        size = self.cue + self.expected
        if size > len(ordinary):
            raise ValueError(
                f"cue={self.cue} and expected={self.expected} need {size} different tokens, "
                f"{loaded.name} has {len(ordinary)}: lower one of them"
            )
        drawn = np.random.default_rng(seed).choice(ordinary, size, replace=False)
        pattern = [int(token) for token in drawn]
        context = haystack(loaded, length - self.cue, [(depth, pattern)], seed)
        chance = float(len(ordinary)) ** -self.expected
        return Exercise(
            tuple(context),
            tuple(pattern[: self.cue]),
            tuple(pattern[self.cue :]),
            chance,
            tuple(sorted(pattern[: self.cue] + pattern[self.cue + 1 :])),
        )
