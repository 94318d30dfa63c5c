"""Find one of several values by its key."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from tokenarium.backend.benchmark.prose import PEOPLE
from tokenarium.backend.benchmark.task import Exercise, Task

if TYPE_CHECKING:
    from tokenarium.backend.models.loaded import LoadedModel


class Needles(Task):
    """Several keys with a number each; one of them is asked for."""

    slug: ClassVar[str] = "needles"
    title: ClassVar[str] = "Several needles"
    explanation: ClassVar[str] = (
        "Hides several numbers, each under a name of its own, and asks for one of them."
    )
    source: ClassVar[str] = "Hsieh et al., 2024, arXiv:2404.06654"
    differs: ClassVar[str] = "names are occupations and values numbers of few digits"

    keys: int = Field(2, ge=2, le=10, description="Names with a number, the one asked for too.")
    digits: int = Field(4, ge=1, le=12, description="Digits of each number.")

    def exercise(
        self, loaded: "LoadedModel", length: int, depth: float, seed: int, chat: bool = False
    ) -> Exercise:
        """Hide the number asked for at a depth, and the others anywhere."""
        from tokenarium.backend.benchmark.conversation import Question
        from tokenarium.backend.benchmark.haystack import encode

        draw = np.random.default_rng(seed)
        names = draw.permutation(PEOPLE)[: self.keys]
        first = draw.permutation(10)[: self.keys]  # all different, so that the first digit tells
        rest = draw.integers(0, 10, (self.keys, self.digits - 1))
        numbers = ["".join(map(str, [a, *b])) for a, b in zip(first, rest, strict=True)]
        depths = [depth, *draw.random(self.keys - 1).tolist()]
        said = [
            f" The number of the {who} is {what}." for who, what in zip(names, numbers, strict=True)
        ]
        needles = [(at, encode(loaded, text)) for at, text in zip(depths, said, strict=True)]
        who, answers = names[0], [f" {number}" for number in numbers]
        return Question(
            text=f" The number of the {who} is",
            turn=f" What is the number of the {who}?",
            begun=f"The number of the {who} is",
        ).exercise(loaded, length, needles, seed, answers, 1 / self.keys, chat=chat)
