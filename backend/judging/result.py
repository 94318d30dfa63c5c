"""The result of judging a text; T tokens, M measures.

A number of a token is about the distribution that the token came from, p(. | tokens before it): the
row before, in a trace. What the numbers of a measure mean is declared by the measure itself
(``lab.methods("measure")``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.judging.judgement import Judgement, Null
from tokenarium.backend.runs.read_text import role_quantity, text_quantity, turn_quantity
from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class JudgeResult(Result):
    """What every measure says of a text, of each token and as a whole."""

    schema_version: ClassVar[int] = 1

    token_ids: Integers = quantity(
        "token id", "T", "", "the tokenizer's number of token t", "Which vocabulary entry this is."
    )
    token_text: tuple[str, ...] = quantity(
        "token text", "T", "", "the token decoded alone", "The piece of text of this token."
    )
    text: str = text_quantity(since=1)
    turn: Integers = turn_quantity(since=1)
    turn_role: tuple[str, ...] = role_quantity(since=1)
    judged: NDArray[np.bool_] = quantity(
        "judged token",
        "T",
        "",
        "false for the first token, those before what is judged, and those that a template added",
        "Whether this token counts.",
    )
    surprisal_nats: Floats = quantity(
        "surprisal",
        "T",
        "nats",
        "-ln p(token t | tokens before t); NaN where not judged",
        "How unexpected this token was to the model.",
        "Hale, 2001; Levy, 2008",
    )
    entropy_before_nats: Floats = quantity(
        "entropy before the token",
        "T",
        "nats",
        "-sum_x p(x) ln p(x), p = the distribution that token t came from; NaN where not judged",
        "How undecided the model was before this token.",
        "Shannon, 1948",
    )
    measures: tuple[str, ...] = quantity("measures", "M", "", "slugs as asked", "What was asked.")
    titles: tuple[str, ...] = quantity("titles", "M", "", "as declared", "Names of the measures.")
    token_score: Floats = quantity(
        "number of a token",
        "M,T",
        "",
        "as the measure declares; NaN where it says nothing of the token",
        "What a measure says of each token.",
    )
    marked: NDArray[np.bool_] = quantity(
        "deciding tokens",
        "M,T",
        "",
        "as the measure declares, such as the lowest fifth of Min-K%",
        "The tokens that a measure rests on.",
    )
    score: NDArray[np.float64] = quantity(
        "score", "M", "", "as the measure declares", "What a measure says of the whole text."
    )
    score_low: NDArray[np.float64] = quantity(
        "lower end of its interval",
        "M",
        "",
        "95 %, as the measure declares; NaN where the text is too short",
        "The score could as well be this low.",
    )
    score_high: NDArray[np.float64] = quantity(
        "upper end of its interval", "M", "", "95 %, likewise", "The score could be this high."
    )
    null_mean: NDArray[np.float64] = quantity(
        "score by chance",
        "M",
        "",
        "mean of the score where its cause is absent, as the measure declares",
        "What the score would be if there were nothing to find.",
    )
    null_low: NDArray[np.float64] = quantity(
        "lower end of chance", "M", "", "2.5 % quantile of the same", "Chance alone goes this low."
    )
    null_high: NDArray[np.float64] = quantity(
        "upper end of chance", "M", "", "97.5 % quantile", "Chance alone goes this high."
    )
    null_at_least: NDArray[np.float64] = quantity(
        "chance of such a score",
        "M",
        "",
        "probability under the null of a score of at least the one measured",
        "Near 0: higher than chance; near 1: lower.",
    )
    details: Mapping[str, Mapping[str, float]] = quantity(
        "further numbers", "", "", "by measure and name, as declared", "What else it found."
    )
    notes: tuple[str, ...] = quantity(
        "notes", "", "", "sentences", "What was cut, too short or read another way."
    )

    def __getitem__(self, slug: str) -> Judgement:
        """Return what one measure found, of all T tokens."""
        number = self.measures.index(slug)
        return Judgement(
            self.token_score[number].astype(np.float64),
            float(self.score[number]),
            float(self.score_low[number]),
            float(self.score_high[number]),
            Null(
                float(self.null_mean[number]),
                float(self.null_low[number]),
                float(self.null_high[number]),
                float(self.null_at_least[number]),
            ),
            self.marked[number],
            self.details.get(slug, {}),
        )
