"""The result of following one token t through one head; T tokens, A[i, j] the attention."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FollowResult(Result):
    """One row and one column of the attention map of one head, to the single token."""

    schema_version: ClassVar[int] = 1

    looks_at: Floats = quantity(
        "attention from the chosen token",
        "T",
        "",
        "A[t, j] for the chosen token t; NaN for tokens after it",
        "Where the chosen token looks.",
    )
    looked_at_by: Floats = quantity(
        "attention to the chosen token",
        "T",
        "",
        "A[i, t] for the chosen token t; NaN for tokens before it",
        "Which later tokens look at the chosen one.",
    )
    source: str = quantity(
        "source",
        "",
        "",
        "queries and keys are kept for texts of up to 4,096 tokens read lately; any other text is "
        "read again up to the layer asked for",
        "How this was made.",
    )
