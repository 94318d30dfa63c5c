"""The result of auditing a text that somebody else generated.

T tokens of the prompt, S generated tokens, F temperatures that the sampled test was asked about.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

Verdict = Literal["equal", "numeric tie", "wrong", "consistent", "inconclusive", "ambiguous"]
EXIT_STATUS: dict[str, int] = {
    "equal": 0,
    "numeric tie": 0,
    "consistent": 0,
    "wrong": 1,
    "inconclusive": 3,
    "ambiguous": 3,
}
"""What the command ``audit`` ends with; 2 where nothing could be read."""


@dataclass(frozen=True)
class AuditResult(Result):
    """A verdict on a text, with what the model itself would have said at every token."""

    schema_version: ClassVar[int] = 1

    verdict: str = quantity(
        "verdict",
        "",
        "",
        "temperature 0: equal where every token is the likeliest; numeric tie where some are not, "
        "each closer to it than the tolerance; wrong where one is farther. Above 0: wrong where a "
        "token had no probability or the test rejects; consistent where it does not and its power "
        "is at least 0.8; else inconclusive. ambiguous where only text is given and another cut "
        "into tokens could change the verdict",
        "Whether the model named can have written this text.",
    )
    position: int = quantity(
        "position", "", "", "first generated token that the verdict is about, from 0; -1 for none",
        "Where to look.",
    )  # fmt: skip
    gap_nats: float = quantity(
        "gap at the position",
        "",
        "nats",
        "largest logit - logit of the token given, repetition penalty applied; above temperature 0 "
        "from the smallest logit that could be drawn; NaN without a position",
        "How far the token given is behind the one the model would take.",
    )
    power: float = quantity(
        "power",
        "",
        "",
        "chance that the test rejects a text drawn at 3/4 or 4/3 of the temperature stated, the "
        "smaller of the two, tokens before it being those given; NaN at temperature 0",
        "How surely a wrong temperature would have been found in a text this long.",
    )
    p_value: float = quantity(
        "p-value",
        "",
        "",
        "twice the smaller of two p-values: of the sum of ln p + entropy (by drawing 20,000 texts "
        "along the tokens given) and of the ranks' Kolmogorov-Smirnov distance; rejected below "
        "0.001; NaN at temperature 0",
        "How seldom a text that was drawn rightly looks as odd as this one.",
    )
    tolerance_nats: float = quantity(
        "tolerance",
        "",
        "nats",
        "float32 0.001, float16 0.05, bfloat16 0.25, the larger of the format it was generated in "
        "and the one it was read in",
        "Logits closer than this may change places by rounding.",
    )
    ties: int = quantity(
        "numeric ties", "", "tokens", "tokens that are not the likeliest, within the tolerance",
        "How often rounding may have decided.",
    )  # fmt: skip
    tokens_from: str = quantity(
        "tokens from", "", "", "ids as given; or text, cut by the model's tokenizer",
        "Whether the tokens themselves were given.",
    )  # fmt: skip
    prompt_ids: Integers = quantity(
        "token id", "T", "", "the tokenizer's number", "Which vocabulary entries the prompt is."
    )
    prompt_text: tuple[str, ...] = quantity(
        "prompt token", "T", "", "the token decoded alone", "The piece of text of this token."
    )
    token_ids: Integers = quantity(
        "generated token", "S", "", "the tokenizer's number", "What was given as generated."
    )
    token_text: tuple[str, ...] = quantity(
        "generated token", "S", "", "the token decoded alone", "The piece of text of this token."
    )
    text: str = quantity("generated text", "", "", "all its tokens decoded", "What was audited.")
    best_ids: Integers = quantity(
        "likeliest token", "S", "", "argmax of the logits after the tokens before it, penalty "
        "applied", "What the model itself would take here.",
    )  # fmt: skip
    best_text: tuple[str, ...] = quantity(
        "likeliest token", "S", "", "the token decoded alone", "The piece of text of this token."
    )
    gap: Floats = quantity(
        "gap", "S", "nats", "largest logit - logit of the token given, penalty applied",
        "0 where the token given is the likeliest.",
    )  # fmt: skip
    rank: Integers = quantity(
        "rank", "S", "", "tokens with a larger logit", "0 for the model's first choice."
    )
    logprob: Floats = quantity(
        "log probability",
        "S",
        "nats",
        "ln p of the token given, after everything in sampling; at temperature 0 of the softmax at "
        "temperature 1",
        "How likely the model finds what was given.",
    )
    entropy_nats: Floats = quantity(
        "entropy", "S", "nats", "- sum p ln p of that distribution", "How open the choice was."
    )
    rank_share: Floats = quantity(
        "rank share",
        "S",
        "",
        "probability of all likelier tokens + u p(token), u drawn uniformly with the seed; NaN at "
        "temperature 0",
        "Spread evenly between 0 and 1 where tokens were drawn as stated.",
    )
    given_logprob: Floats = quantity(
        "log probability given", "S", "nats", "as given; NaN where none was",
        "What the other program said.",
    )  # fmt: skip
    temperature_factor: Floats = quantity(
        "temperature asked about", "F", "", "as a share of the one stated; none at temperature 0",
        "What the test's power is known for.",
    )  # fmt: skip
    factor_power: Floats = quantity(
        "power at this temperature", "F", "", "as power", "How surely it would have been found."
    )
    factor_distance: Floats = quantity(
        "total variation at this temperature", "F", "",
        "mean over tokens of 1/2 sum |p - q|, q drawn at this temperature",
        "How different such a text's distribution is.",
    )  # fmt: skip
    processors: dict[str, float] = quantity(
        "sampling", "", "", "as stated", "How the tokens are said to have been chosen."
    )
    audit: dict[str, Any] = quantity(
        "checks", "", "", "each with verdict, evidence and numbers", "What the verdict rests on."
    )
    notes: tuple[str, ...] = quantity(
        "notes", "", "", "", "What was read in another way than one might expect."
    )

    @property
    def exit_status(self) -> int:
        """0 equal, tie or consistent, 1 wrong, 3 inconclusive or ambiguous."""
        return EXIT_STATUS[self.verdict]
