"""Find a number that was said once."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from tokenarium.backend.benchmark.task import Exercise, Task

if TYPE_CHECKING:
    from tokenarium.backend.models.loaded import LoadedModel


class Passkey(Task):
    """A number hidden in filler; the question repeats the words before it."""

    slug: ClassVar[str] = "passkey"
    title: ClassVar[str] = "Passkey"
    explanation: ClassVar[str] = "Hides one number in a long text and asks for it at the end."
    source: ClassVar[str] = "Mohtashami & Jaggi, 2023, arXiv:2305.16300"
    differs: ClassVar[str] = (
        "the filler is varied prose, and the question repeats the words before the number, so that "
        "a model without instruction training can answer"
    )

    digits: int = Field(5, ge=1, le=12, description="Digits of the number.")

    def exercise(
        self, loaded: "LoadedModel", length: int, depth: float, seed: int, chat: bool = False
    ) -> Exercise:
        """Hide a number at a depth."""
        from tokenarium.backend.benchmark.conversation import Question
        from tokenarium.backend.benchmark.haystack import encode

        number = "".join(map(str, np.random.default_rng(seed).integers(0, 10, self.digits)))
        needle = encode(loaded, f" The pass key is {number}. Remember the pass key.")
        answers = [f" {number}", *(f" {digit}" for digit in range(10))]
        return Question(
            text=" The pass key is", turn=" What is the pass key?", begun="The pass key is"
        ).exercise(loaded, length, [(depth, needle)], seed, answers, 10.0**-self.digits, chat=chat)
