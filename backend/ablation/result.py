"""The result of cutting parts out, every quantity defined where it is declared.

T tokens of the text, L layers, H heads, D draws, R sets of heads that the check cuts. v is
ln p(target | text), less ln p(other | text) where another token is named.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.attribution.check import Faithfulness
from tokenarium.backend.runs.read_text import role_quantity, text_quantity, turn_quantity
from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float64]
Integers = NDArray[np.int32]
ABLATION = "Wang et al., 2022, arXiv:2211.00593; Chan et al., 2022 (causal scrubbing)"
CHECK = "DeYoung et al., 2020, arXiv:1911.03429"


def _fall(title: str, axes: str, what: str) -> Any:
    return quantity(
        title, axes, "nats", f"v(text) - v(text with {what} cut out); of resample, by draw",
        "How much less likely the target is without it; below zero, likelier.", ABLATION,
    )  # fmt: skip


def _check(title: str, axes: str, formula: str, meaning: str, unit: str = "nats") -> Any:
    return quantity(title, axes, unit, formula, meaning, CHECK)


@dataclass(frozen=True)
class AblateResult(Result):
    """What a token loses when a head, an attention, an MLP or a layer is cut out."""

    schema_version: ClassVar[int] = 1

    token_ids: Integers = quantity("token id", "T", "", "vocabulary number", "Which token it is.")
    token_text: tuple[str, ...] = quantity(
        "token text", "T", "", "the token decoded alone", "The piece of text of this token."
    )
    text: str = text_quantity(1)
    turn: Integers = turn_quantity(1)
    turn_role: tuple[str, ...] = role_quantity(1)
    target_position: int = quantity(
        "position of the target", "", "tokens", "tokens before it", "Which token is explained."
    )
    target_id: int = quantity("target", "", "", "vocabulary number", "The token explained.")
    target_text: str = quantity("target", "", "", "the token decoded alone", "The token explained.")
    against_id: int = quantity(
        "other token", "", "", "vocabulary number; -1 for none", "What it is compared with."
    )
    against_text: str = quantity(
        "other token", "", "", "the token decoded alone", "What the target is compared with."
    )
    value_nats: float = quantity(
        "v of the text", "", "nats", "ln p(target | text before it) [- ln p(other | ...)]",
        "How likely the target was; with another token, how much likelier than that.",
    )  # fmt: skip
    head_nats: Floats = _fall("fall without a head", "D,L,H", "this head")
    attention_nats: Floats = _fall("fall without an attention", "D,L", "this layer's attention")
    mlp_nats: Floats = _fall("fall without an MLP", "D,L", "this layer's MLP")
    layer_nats: Floats = _fall("fall without a layer", "D,L", "what this layer adds")
    check_k: int = _check("heads cut", "", "as asked, else a twentieth", "How many at once.", "")
    check_drop_nats: float = _check(
        "fall by the map", "", "v(text) - v(text with the k highest heads cut out at once)",
        "How much less likely the target is without the heads that the map names.",
    )  # fmt: skip
    check_random_nats: Floats = _check(
        "fall by chance", "R", "v(text) - v(text with k heads cut out): twenty other sets drawn at "
        "random, or every set where there are at most twenty",
        "How much less likely the target is without as many other heads.",
    )  # fmt: skip
    check_low_nats: float = _check(
        "low end of the mean fall by chance", "", "mean - t(.975, 19) s / sqrt(20)", "Its interval."
    )
    check_high_nats: float = _check(
        "high end of the mean fall by chance", "", "mean + t(.975, 19) s / sqrt(20)",
        "Its interval.",
    )  # fmt: skip
    check_p: float = _check(
        "p of the check", "", "(1 + random sets that fall at least as far) / 21; of every set, "
        "the share that does",
        "How often chance does as well; at most 0.05 beats it.", "",
    )  # fmt: skip
    verdict: str = _check(
        "verdict", "", "beats chance where p <= 0.05; too few units where no p could be so low",
        "Whether the map names heads that matter more than others.", "",
    )  # fmt: skip
    passes: int = quantity("passes", "", "", "readings of the text", "What it cost.")
    token_steps: int = quantity(
        "token steps", "", "tokens", "tokens that were read in them",
        "What it cost; layers before the first that is cut are not computed.",
    )  # fmt: skip
    dropped_tokens: int = quantity(
        "tokens cut", "", "tokens", "as the overflow choice says", "What was not read."
    )
    notes: tuple[str, ...] = quantity("notes", "", "", "remarks", "What one might not expect.")

    @property
    def length(self) -> int:
        """T, tokens of the text."""
        return len(self.token_ids)

    @property
    def faithfulness(self) -> Faithfulness:
        """The check: what cutting the highest heads does, beside chance."""
        return Faithfulness.of(self)
