"""The result of a heartbeat, every quantity defined where it is declared."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.read_text import role_quantity, text_quantity, turn_quantity
from tokenarium.backend.runs.result import Result, quantity

Integers = NDArray[np.int32]

LAZY = "Zhang et al., 2025, arXiv:2506.15969"


@dataclass(frozen=True)
class HeartbeatResult(Result):
    """When queries look at each of T keys: A[i, j] is the head's weight of query i on key j.

    Query i activates key j <= i where A[i, j] reaches the threshold.
    """

    schema_version: ClassVar[int] = 2

    token_text: tuple[str, ...] = quantity(
        "token text", "T", "", "the token decoded alone", "The piece of text of this token."
    )
    raster: NDArray[np.float32] = quantity(
        "who comes back",
        "r,c",
        "",
        "share of the pairs j <= i of a cell where query i activates key j; NaN in cells without "
        "one; r = c = min(T, bins)",
        "When later tokens came back to a token: read a column from top to bottom.",
        LAZY,
    )
    edges: Integers = quantity(
        "cell edges",
        "r+1",
        "tokens",
        "cell a of either side covers [edge a, edge a+1)",
        "Where rows and columns begin.",
    )
    activations: Integers = quantity(
        "activations",
        "T",
        "",
        "number of queries i >= j that activate key j",
        "How often later tokens, and itself, looked at this one.",
        LAZY,
    )
    last_activation: Integers = quantity(
        "last activation",
        "T",
        "tokens",
        "position of the last query that activates key j; -1 for none",
        "When it was last looked at.",
        LAZY,
    )
    longest_gap: Integers = quantity(
        "longest gap",
        "T",
        "tokens",
        "maximum recurrence interval: largest distance between an activation of key j and the one "
        "before it, its own position counting as the first; 0 for none; variant: the source leaves "
        "open where counting begins",
        "How long it was ever forgotten before it was needed again.",
        LAZY,
    )
    next_expected: Integers = quantity(
        "expected by",
        "T",
        "tokens",
        "last activation + longest gap, which may lie beyond the text; -1 where the gap is 0",
        "By when it should be looked at again if it keeps its rhythm.",
        LAZY,
    )
    active_share: float = quantity(
        "active share",
        "",
        "",
        "share of all pairs j <= i where query i activates key j",
        "How much of the map is active at this threshold.",
    )
    source: str = quantity(
        "source",
        "",
        "",
        "queries and keys are kept for texts of up to 4,096 tokens read lately; any other text is "
        "read again up to the layer asked for",
        "How the map was made.",
    )
    dropped_tokens: int = quantity(
        "dropped tokens",
        "",
        "tokens",
        "tokens of the text cut off because it was longer than the limit",
        "How much of your text was not read.",
    )
    text: str | None = text_quantity(since=2)
    turn: Integers | None = turn_quantity(since=2)
    turn_role: tuple[str, ...] | None = role_quantity(since=2)
    notes: tuple[str, ...] = quantity(
        "notes", "n", "", "sentences", "What was done otherwise than one might expect."
    )
