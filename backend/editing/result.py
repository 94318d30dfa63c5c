"""The result of an edited prompt, every quantity defined where it is declared.

K caches (read anew, spliced with and without rotation, of the prompt before), T tokens of the
prompt before, U of the edited one, S tokens that the model writes after it, L layers.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
PIE = "He et al., 2024, arXiv:2407.03157"


def _by_step(title: str, unit: str, formula: str, meaning: str, source: str = "") -> Any:
    return quantity(title, "K,S", unit, formula, meaning, source)


@dataclass(frozen=True)
class EditResult(Result):
    """The same edit under four caches, compared along what the model writes."""

    schema_version: ClassVar[int] = 1

    caches: tuple[str, ...] = quantity(
        "caches",
        "K",
        "",
        "recomputed: the edited prompt is read anew; pie: spliced, keys turned to their new "
        "places; unturned: spliced, keys as they were; unedited: the prompt before",
        "How the cache was made.",
        PIE,
    )
    titles: tuple[str, ...] = quantity("titles", "K", "", "words", "The same for people.")
    prompt_ids: Integers = quantity(
        "token id before", "T", "", "vocabulary number", "The prompt before the edit."
    )
    prompt_text: tuple[str, ...] = quantity(
        "token before", "T", "", "the token decoded alone", "The prompt before the edit."
    )
    edited_ids: Integers = quantity("token id", "U", "", "vocabulary number", "The edited prompt.")
    edited_text: tuple[str, ...] = quantity(
        "token", "U", "", "the token decoded alone", "The edited prompt."
    )
    origin: Integers = quantity(
        "where from", "U", "tokens", "position before the edit; -1 for a new token",
        "Which tokens were kept, and from where.",
    )  # fmt: skip
    token_ids: Integers = quantity(
        "written token", "S", "", "the likeliest after the edited prompt read anew",
        "What all caches then read.",
    )  # fmt: skip
    token_text: tuple[str, ...] = quantity(
        "written token", "S", "", "the token decoded alone", "What all caches then read."
    )
    said_ids: Integers = _by_step(
        "likeliest token", "", "argmax of the cache's distribution at this step",
        "What the cache would have said here.",
    )  # fmt: skip
    said_text: tuple[tuple[str, ...], ...] = _by_step(
        "likeliest token", "", "the token decoded alone", "What the cache would have said here."
    )
    kl_nats: Floats = _by_step(
        "divergence from reading anew", "nats", "sum_x p(x) ln(p(x) / q(x)), p after reading anew",
        "How far the cache moves the prediction.", "Kullback & Leibler, 1951",
    )  # fmt: skip
    top1_agree: Floats = _by_step(
        "same first choice", "", "1 where both have the same likeliest token, else 0",
        "How often the cache would say the same.",
    )  # fmt: skip
    surprisal_nats: Floats = _by_step(
        "surprisal", "nats", "-ln q(written token)", "How unexpected the written token was."
    )
    key_error: Floats = quantity(
        "error of kept keys", "K,L", "",
        "|k - k'| / |k'| over the kept tokens after the first edit, k' when read anew",
        "How far kept keys are from what they should be; nothing but rounding in the first layer "
        "where they were turned.",
    )  # fmt: skip
    value_error: Floats = quantity(
        "error of kept values", "K,L", "", "the same of values",
        "How much kept tokens still know the text before; nothing in the first layer.",
    )  # fmt: skip
    computed_tokens: Integers = quantity(
        "tokens read", "K", "tokens", "tokens the model read after the edit, the last one included",
        "What the edit costs.",
    )  # fmt: skip
    ready_ms: Floats = quantity(
        "time to first token", "K", "ms", "wall time from the edit until the next token is known",
        "How long one waits after an edit.",
    )  # fmt: skip
    notes: tuple[str, ...] = quantity(
        "notes", "", "", "sentences", "What was cut or read in another way."
    )
