"""The result of a probe, every quantity defined where it is declared.

L layers, H query heads, T tokens. A[i, j] is the attention weight of query i on key j. Queries
count from the first random token: b = 1 where a BOS token stands before it, else 0. The chance
level of a score is what a head gets that spreads its attention evenly over the keys it sees.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]

RAZOR = "Tang et al., 2024, arXiv:2407.15891"
INDUCTION = "Olsson et al., 2022, arXiv:2209.11895; Tang et al., 2024, arXiv:2407.15891"
SINK = "Xiao et al., 2023, arXiv:2309.17453; Gu et al., 2024, arXiv:2410.10781"
VIG = "Vig & Belinkov, 2019, arXiv:1906.04284"


def _chance(title: str, unit: str = "") -> Any:
    return quantity(
        f"chance level of {title}",
        "L",
        unit,
        "the same with A[i, j] = 1 / (number of keys that query i sees in this layer)",
        "What a head gets that looks everywhere alike.",
    )


@dataclass(frozen=True)
class ProbeResult(Result):
    """What every head looks at in random tokens that are repeated."""

    schema_version: ClassVar[int] = 1

    token_ids: NDArray[np.int32] = quantity(
        "token id", "T", "", "random ordinary tokens, repeated", "Which tokens were read."
    )
    token_text: tuple[str, ...] = quantity(
        "token text", "T", "", "the token decoded alone", "The piece of text of this token."
    )
    echo: Floats = quantity(
        "echo score",
        "L,H",
        "",
        "mean over queries i of the second and later copies of sum_k A[i, i - k period], over the "
        "earlier copies k of the same token",
        "How much a head looks at earlier copies of the token it stands on.",
        RAZOR,
    )
    induction: Floats = quantity(
        "induction score",
        "L,H",
        "",
        "mean over queries i of the second and later copies of sum_k A[i, i - k period + 1]: the "
        "tokens that followed the earlier copies k",
        "How much a head looks at what came next the last times, which predicts what comes now.",
        INDUCTION,
    )
    previous_mass: Floats = quantity(
        "attention to the previous token",
        "L,H",
        "",
        "mean over i >= 1 of A[i, i - 1]",
        "How much a head looks one token back.",
        VIG,
    )
    self_mass: Floats = quantity(
        "attention to itself", "L,H", "", "mean over i of A[i, i]", "How much it looks at its own."
    )
    sink_score: Floats = quantity(
        "sink score",
        "L,H",
        "",
        "mean over i of A[i, 0]",
        "How much of its attention a head parks on the first token.",
        SINK,
    )
    attention_distance: Floats = quantity(
        "attention distance",
        "L,H",
        "tokens",
        "mean over i of sum_j A[i, j] (i - j)",
        "How far back a head looks.",
        VIG,
    )
    echo_chance: Floats = _chance("the echo score")
    induction_chance: Floats = _chance("the induction score")
    previous_chance: Floats = _chance("attention to the previous token")
    self_chance: Floats = _chance("attention to itself")
    sink_chance: Floats = _chance("the sink score")
    distance_chance: Floats = _chance("attention distance", "tokens")
    period: int = quantity("period", "", "tokens", "as asked", "Random tokens that are repeated.")
    repeats: int = quantity("copies", "", "", "as asked", "How often they are read.")
    begins_with_bos: bool = quantity(
        "begins with BOS",
        "",
        "",
        "true where the tokenizer puts a BOS token before every text",
        "Whether a first token stands before the random ones.",
    )
