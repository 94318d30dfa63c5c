"""The result of a reduction, every quantity defined where it is declared.

T tokens of the held-out text, L layers, P reduced models, S curves, K models compared with.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float64]
Integers = NDArray[np.int32]


def _difference(title: str, formula: str) -> Any:
    return quantity(
        title, "K", "nats", formula, "Above zero the method reads the text better than that model.",
        "Schmeiser, 1982",
    )  # fmt: skip


@dataclass(frozen=True)
class ReduceResult(Result):
    """What a model that computes less loses, by how much less it computes."""

    schema_version: ClassVar[int] = 1

    token_ids: Integers = quantity("token id", "T", "", "vocabulary number", "Which token it is.")
    token_text: tuple[str, ...] = quantity(
        "token text", "T", "", "the token decoded alone", "The piece of text of this token."
    )
    calibration_tokens: int = quantity(
        "calibration tokens", "", "tokens", "tokens of the text on which thresholds are set and "
        "searches are judged", "None of it is in the text that losses are measured on.",
    )  # fmt: skip
    cost_title: str = quantity(
        "what is counted", "", "", "as the method says", "Of what a share is computed."
    )
    series: tuple[str, ...] = quantity("curves", "S", "", "names", "The method, and others.")
    exact: str = quantity(
        "exact curve", "", "", "name; empty for none",
        "The best that there is at each cost, found by trying everything.",
    )  # fmt: skip
    enumerated: int = quantity(
        "models enumerated", "", "", "how many there are, where every one was read; else 0",
        "How much was tried for the exact curve.",
    )  # fmt: skip
    dense_nats: float = quantity(
        "loss of the whole model", "", "nats", "mean of -ln p(token | those before it) over all "
        "tokens but the first", "How well it reads the held-out text with nothing cut.",
    )  # fmt: skip
    point_series: Integers = quantity(
        "curve", "P", "", "number of its curve", "To which curve a reduced model belongs."
    )
    point_label: tuple[str, ...] = quantity(
        "reduced model", "P", "", "in words", "What was cut, or asked for."
    )
    setting: Floats = quantity(
        "asked", "P", "", "as the method says; NaN where it is no number", "What was asked for."
    )
    cost: Floats = quantity(
        "cost", "P", "", "share of what the whole model computes, counted on the held-out text; "
        "of what, cost_title says", "How much of the model is still computed.",
    )  # fmt: skip
    loss_nats: Floats = quantity(
        "loss", "P", "nats", "mean over tokens of token_nats",
        "How well the reduced model reads the held-out text.",
    )  # fmt: skip
    token_nats: NDArray[np.float32] = quantity(
        "surprisal", "P,T", "nats", "-ln p(token | those before it); NaN of the first token",
        "How surprised the reduced model is by each token.",
    )  # fmt: skip
    dense_token_nats: NDArray[np.float32] = quantity(
        "surprisal of the whole model", "T", "nats", "the same with nothing cut",
        "How surprised the whole model is by each token.",
    )  # fmt: skip
    computed: NDArray[np.float32] = quantity(
        "computed", "P,L,2", "", "share of the attention, and of the MLP, of each layer that is "
        "computed; of attention the keys that are looked at, of an MLP its channels",
        "Where the model was cut.",
    )  # fmt: skip
    threshold: Floats = quantity(
        "threshold", "P,L", "", "size below which an activation counts as zero; NaN where there is "
        "none", "Set on the calibration text.",
    )  # fmt: skip
    chosen: int = quantity(
        "judged model", "", "", "number of a reduced model", "What the verdict is about."
    )
    beside: Integers = quantity(
        "compared with", "K", "", "numbers of reduced models", "What it is compared with."
    )
    difference_nats: Floats = _difference(
        "difference of losses", "loss of the model compared with - loss of the judged model"
    )
    difference_low_nats: Floats = _difference(
        "its low end", "low end of its 95 % interval, over eight consecutive batches of tokens; "
        "NaN of fewer than sixteen tokens",
    )  # fmt: skip
    difference_high_nats: Floats = _difference("its high end", "high end of the same interval")
    readings: float = quantity(
        "readings", "", "texts", "layers computed of all texts / (L layers)",
        "What it cost, in whole readings of a text.",
    )  # fmt: skip
    notes: tuple[str, ...] = quantity("notes", "", "", "remarks", "What one might not expect.")

    @property
    def length(self) -> int:
        """T, tokens of the held-out text."""
        return len(self.token_ids)

    def of_series(self, name: str) -> NDArray[np.int64]:
        """Return the numbers of a curve's reduced models, the cheapest first."""
        found = np.flatnonzero(self.point_series == self.series.index(name))
        return found[np.argsort(self.cost[found], kind="stable")]
