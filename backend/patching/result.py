"""The result of activation patching, every quantity defined where it is declared.

T tokens of the text, S of the other one, C units of the text before its target, L layers, K sites.
v is ln p(target | ...) - ln p(token compared with | ...).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.read_text import role_quantity, text_quantity, turn_quantity
from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float64]
Integers = NDArray[np.int32]
PATCHING = "Meng et al., 2022, arXiv:2202.05262; Zhang & Nanda, 2024, arXiv:2309.16042"


def _value(title: str, formula: str, meaning: str) -> Any:
    return quantity(title, "", "nats", formula, meaning, PATCHING)


@dataclass(frozen=True)
class PatchResult(Result):
    """How far each cell of one reading turns another reading's prediction into its own."""

    schema_version: ClassVar[int] = 1

    token_ids: Integers = quantity("token id", "T", "", "vocabulary number", "The text.")
    token_text: tuple[str, ...] = quantity(
        "token text", "T", "", "the token decoded alone", "The text."
    )
    special: NDArray[np.bool_] = quantity(
        "added token", "T", "", "true where tokenizer or chat template added it", "Never patched."
    )
    text: str = text_quantity(1)
    turn: Integers = turn_quantity(1)
    turn_role: tuple[str, ...] = role_quantity(1)
    other_ids: Integers = quantity("token id", "S", "", "vocabulary number", "The other text.")
    other_text: tuple[str, ...] = quantity(
        "token text", "S", "", "the token decoded alone", "The other text."
    )
    target_position: int = quantity(
        "position of the target", "", "tokens", "tokens before it", "Where the text is read to."
    )
    other_position: int = quantity(
        "position of the target", "", "tokens", "tokens before it", "Where the other is read to."
    )
    target_id: int = quantity("target", "", "", "vocabulary number", "What the text expects.")
    target_text: str = quantity("target", "", "", "the token decoded alone", "The same in words.")
    against_id: int = quantity(
        "token compared with", "", "", "vocabulary number", "What the other text expects."
    )
    against_text: str = quantity(
        "token compared with", "", "", "the token decoded alone", "The same in words."
    )
    text_nats: float = _value("v of the text", "v(text)", "How far it expects its own token.")
    other_nats: float = _value("v of the other text", "v(other)", "The same of the other one.")
    units: Integers = quantity(
        "units", "C,2", "tokens", "[start, stop) in tokens of the text", "What is patched as one."
    )
    unit_text: tuple[str, ...] = quantity(
        "unit text", "C", "", "its tokens joined", "What it says in the text."
    )
    counterpart: tuple[str, ...] = quantity(
        "counterpart", "C", "", "the tokens of the other text that stand for it, joined; where the "
        "texts differ in length, what differs is aligned at its end",
        "What stands there in the other text.",
    )  # fmt: skip
    sites: tuple[str, ...] = quantity(
        "sites", "K", "", "residual: the stream entering the layer; attention, mlp: what the "
        "layer's attention or MLP adds to it",
        "What of a layer is patched.",
    )  # fmt: skip
    recovered: Floats = quantity(
        "share recovered", "K,L,C", "", "(v(patched) - v(patched into)) / (v(patched from) - "
        "v(patched into)), the site's output at the unit's tokens taken from the other reading",
        "0: the patch changes nothing; 1: it alone turns the prediction into the other reading's; "
        "NaN where the unit has no counterpart.",
        PATCHING,
    )  # fmt: skip
    whole: Floats = quantity(
        "share recovered by every cell of a layer", "K,L", "",
        "the same with every unit of the text patched at once",
        "The residual stream recovers all of it where the texts are as long.",
        PATCHING,
    )  # fmt: skip
    passes: int = quantity("passes", "", "", "readings", "What it cost.")
    token_steps: int = quantity("token steps", "", "tokens", "tokens that were read in them",
        "What it cost; layers before the patched one are not computed.")  # fmt: skip
    dropped_tokens: int = quantity(
        "tokens cut", "", "tokens", "as the overflow choice says", "What was not read."
    )
    notes: tuple[str, ...] = quantity("notes", "", "", "remarks", "What one might not expect.")

    @property
    def length(self) -> int:
        """T, tokens of the text."""
        return len(self.token_ids)
