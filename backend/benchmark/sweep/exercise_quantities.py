"""What a sweep measures of every exercise, and what a budget takes at longer prompts.

C points, E exercises of a point, M lengths of a prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

if TYPE_CHECKING:
    from tokenarium.backend.benchmark.sweep.cell import Cell

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
LENGTHS = (8_192, 32_768)
"""Tokens of a prompt at which the bytes of a budget are given."""


def _trial(title: str, unit: str, formula: str, meaning: str, since: int = 3) -> Any:
    """Declare a number of every exercise of every point; NaN where the policy was refused."""
    return quantity(title, "C,E", unit, formula, meaning, since=since)


@dataclass(frozen=True)
class ExerciseQuantities(Result):
    """One number per exercise, and bytes at lengths that were not measured."""

    trial_kl_nats: Floats | None = _trial(
        "divergence of one exercise",
        "nats",
        "mean over the answer tokens of one exercise of sum_x p_full(x) ln(p_full(x) / p(x))",
        "How far the smaller cache moves the prediction in this exercise.",
    )
    trial_top1_agree: Floats | None = _trial(
        "agreement in one exercise",
        "",
        "share of the answer tokens of one exercise where both have the same likeliest token",
        "How often both would say the same in this exercise.",
    )
    trial_token_accuracy: Floats | None = _trial(
        "right tokens of one exercise",
        "",
        "share of the answer tokens of one exercise that are the likeliest; 1: the answer is right",
        "How much of this answer was right.",
    )
    trial_surprisal_nats: Floats | None = _trial(
        "surprisal of one exercise",
        "nats",
        "mean of -ln p(token) over the answer tokens of one exercise",
        "How unexpected this answer was.",
    )
    trial_attention_recall: Floats | None = _trial(
        "attention recall of one exercise",
        "",
        "mean over answer tokens of one exercise, layers and KV heads of the full model's "
        "attention to entries that the policy had kept and read",
        "How much of what the full model looks at was still there in this exercise.",
        since=4,
    )
    bytes_at: NDArray[np.float64] | None = quantity(
        "cache after a long prompt",
        "C,M",
        "bytes",
        "computed from the model's sizes at this budget, right after a prompt of bytes_at_tokens "
        "was read; a few entries off where a policy shares a layer's budget out among heads",
        "What the cache would take at that length, in the number format of the sweep.",
        since=3,
    )
    bytes_at_tokens: Integers | None = quantity(
        "lengths of the long prompts",
        "M",
        "tokens",
        "fixed: 8,192 and 32,768",
        "The prompts for which the cache is computed.",
        since=3,
    )
    context: int | None = quantity(
        "context",
        "",
        "tokens",
        "most positions that the model was trained for",
        "The longest text the model was made to read.",
        since=3,
    )


def exercise_arrays(cells: "Sequence[Cell]") -> dict[str, Any]:
    """Return these quantities of points by name; NaN where a point was refused."""
    nothing = np.full(max(cell.trials for cell in cells), np.nan, np.float32)
    names = [name for name in ExerciseQuantities.quantities() if name.startswith("trial_")]
    return {
        **{name: np.stack([cell.each.get(name, nothing) for cell in cells]) for name in names},
        "bytes_at": np.asarray([cell.bytes_at for cell in cells], np.float64),
        "bytes_at_tokens": np.asarray(LENGTHS, np.int32),
    }
