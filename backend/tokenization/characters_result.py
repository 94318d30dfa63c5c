"""The result of questions about letters; R questions."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

CHARBENCH = "Uzan & Pinter, 2025, arXiv:2508.02591"
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class CharactersResult(Result):
    """Whether a model knows the letters of words, against the tokens they are in."""

    schema_version: ClassVar[int] = 1

    word: tuple[str, ...] = quantity("word", "R", "", "as asked", "The word that is asked about.")
    letter: tuple[str, ...] = quantity(
        "letter", "R", "", "the commonest of the word, then one drawn", "The letter asked for."
    )
    answer: Integers = quantity(
        "right answer", "R", "", "counted in the word, or its position from 1", "What is right."
    )
    said: Integers = quantity(
        "model's answer", "R", "", "argmax of ln p over the candidates", "What the model prefers."
    )
    margin_nats: NDArray[np.float32] = quantity(
        "margin",
        "R",
        "nats",
        "ln p(right) - max over wrong candidates of ln p",
        "How sure the model is of the right answer: below 0 it prefers a wrong one.",
    )
    token_length: Integers = quantity(
        "letters in its token",
        "R",
        "",
        "letters of the word in the token that holds the first such letter",
        "How deep inside of a token the letter is hidden.",
        CHARBENCH,
    )
    word_tokens: Integers = quantity(
        "tokens of the word", "R", "tokens", "tokens that hold letters of it", "How it is cut."
    )
    accuracy: float = quantity(
        "accuracy", "", "", "share of questions with a margin above 0", "How often it is right."
    )
    usual_answer: int = quantity(
        "usual answer", "", "", "most frequent right answer", "What is right most often."
    )
    usual_accuracy: float = quantity(
        "accuracy of the usual answer",
        "",
        "",
        "share of questions whose right answer it is",
        "How often one is right who always says the same and reads nothing.",
    )
    slope_nats: float = quantity(
        "slope",
        "",
        "nats",
        "least squares of margin on letters in its token",
        "How much a longer token changes the margin, per letter; NaN where all are alike.",
        CHARBENCH,
    )
    slope_low_nats: float = quantity(
        "slope, lower end", "", "nats", "2.5 % of 2,000 draws of questions", "Its interval."
    )
    slope_high_nats: float = quantity(
        "slope, upper end", "", "nats", "97.5 % of 2,000 draws of questions", "Its interval."
    )
