"""The result of an attribution, every quantity defined where it is declared.

T tokens of the text, U units among those before the target, R sets that the check deletes, J
points of the curve. v is ln p(target | what is read), less ln p(other | what is read) where another
token is named.
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
ERASER = "DeYoung et al., 2020, arXiv:1911.03429"


def _check(title: str, axes: str, formula: str, meaning: str, unit: str = "nats") -> Any:
    return quantity(title, axes, unit, formula, meaning, ERASER)


@dataclass(frozen=True)
class AttributeResult(Result):
    """Which units of a text made the model expect a token, and whether deleting them shows it."""

    schema_version: ClassVar[int] = 3

    token_ids: Integers = quantity("token id", "T", "", "vocabulary number", "Which token it is.")
    token_text: tuple[str, ...] = quantity(
        "token text", "T", "", "the token decoded alone", "The piece of text of this token."
    )
    special: NDArray[np.bool_] = quantity(
        "added token", "T", "", "true where tokenizer or chat template added it", "Never changed."
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
    units: Integers = quantity(
        "units", "U,2", "tokens", "[start, stop) in tokens", "What is scored as one."
    )
    unit_text: tuple[str, ...] = quantity(
        "unit text", "U", "", "its tokens joined", "What it says."
    )
    scores: Floats = quantity(
        "score", "U", "as the method says", "as the method defines it",
        "Higher made the target likelier; below zero, less likely.",
    )  # fmt: skip
    low: Floats = quantity(
        "low end of the score", "U", "as the method says", "95 % interval; NaN where not sampled",
        "How sure a sampled score is.",
    )  # fmt: skip
    high: Floats = quantity(
        "high end of the score", "U", "as the method says", "95 % interval; NaN where not sampled",
        "How sure a sampled score is.",
    )  # fmt: skip
    score_unit: str = quantity(
        "unit of the scores", "", "", "nats, or empty", "What the scores are measured in."
    )
    check_k: int = _check(
        "units deleted", "", "as asked, else a fifth of U", "How many the check deletes.", ""
    )
    check_drop_nats: float = _check(
        "drop by the map", "", "v(text) - v(text without the k highest units)",
        "How much less likely the target is without what the map names.",
    )  # fmt: skip
    check_random_nats: Floats = _check(
        "drop by chance", "R", "v(text) - v(text without k units): twenty other sets drawn at "
        "random, or every set where there are at most twenty",
        "How much less likely the target is without as many other units.",
    )  # fmt: skip
    check_low_nats: float = _check(
        "low end of the mean drop by chance", "", "mean - t(.975, 19) s / sqrt(20)", "Its interval."
    )
    check_high_nats: float = _check(
        "high end of the mean drop by chance", "", "mean + t(.975, 19) s / sqrt(20)",
        "Its interval.",
    )  # fmt: skip
    check_p: float = _check(
        "p of the check", "", "(1 + random sets that drop at least as much) / 21; of every set, "
        "the share that does",
        "How often chance does as well; at most 0.05 beats it.", "",
    )  # fmt: skip
    verdict: str = _check(
        "verdict", "", "beats chance where p <= 0.05; too few units where no p could be so low",
        "Whether the map names units that matter more than others.", "",
    )  # fmt: skip
    passes: int = quantity("passes", "", "", "texts that were read", "What it cost.")
    token_steps: int = quantity(
        "token steps", "", "tokens", "tokens that were read, padding included", "What it cost."
    )
    dropped_tokens: int = quantity(
        "tokens cut", "", "tokens", "as the overflow choice says", "What was not read."
    )
    part_nats: Floats | None = quantity(
        "parts of the logit", "L,H+1", "nats", "what a head, or last the MLP, of layer l wrote . d",
        "What each wrote towards the target at the last position; empty where a method is another.",
        "Elhage et al., 2021, transformer-circuits.pub/2021/framework", since=2,
    )  # fmt: skip
    rest_text: tuple[str, ...] | None = quantity(
        "other parts", "Q", "", "names", "What neither a head nor an MLP wrote.", since=2
    )
    rest_nats: Floats | None = quantity(
        "other parts", "Q", "nats", "with the parts it sums to the logit difference",
        "What neither a head nor an MLP wrote.", since=2,
    )  # fmt: skip
    curve_k: Integers | None = quantity(
        "units deleted, of the curve", "J", "", "1, k, k / 4, k / 2 and 2 k, k that of the check",
        "How many of the highest units are deleted together.", ERASER, since=3,
    )  # fmt: skip
    curve_nats: Floats | None = quantity(
        "drop along the curve", "J", "nats", "v(text) - v(text without so many highest units)",
        "A map is the better the sooner this rises; its mean is ERASER's comprehensiveness.",
        ERASER, since=3,
    )  # fmt: skip
    notes: tuple[str, ...] = quantity("notes", "", "", "remarks", "What one might not expect.")

    @property
    def length(self) -> int:
        """T, tokens of the text."""
        return len(self.token_ids)

    @property
    def faithfulness(self) -> Faithfulness:
        """The check: what deleting the highest units does, beside chance."""
        return Faithfulness.of(self)
