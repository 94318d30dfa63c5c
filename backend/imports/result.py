"""The result of reading another engine's figures.

U requests, R rounds, D places in a round, S tokens of all requests one after another. A number
that is not known is -1, a ratio NaN.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

REQUEST = np.dtype(
    [(name, np.int32) for name in ("rounds", "drafted", "accepted", "new_tokens", "ordered")]
)
ROUND = np.dtype([(name, np.int32) for name in ("request", "drafted", "accepted")])
SOURCES = ("not known", "drafted", "after a round", "after the prompt")
"""Where a token came from, by number."""


@dataclass(frozen=True)
class ImportResult(Result):
    """What another engine reports of drafting and verifying, by one set of definitions."""

    schema_version: ClassVar[int] = 1

    format: str = quantity("format", "", "", "slug of the reader", "How the file was read.")
    engine: str = quantity("engine", "", "", "as the format says", "Who generated.")
    model: str = quantity("model", "", "", "as the file says, else as asked", "Which model it was.")
    requests: NDArray[Any] = quantity(
        "requests",
        "U",
        "",
        "rounds: verifications; drafted, accepted: tokens, the one that follows an accepted draft "
        "not counted; new_tokens of the text; ordered: 1 where rounds are in order; -1 not known",
        "What each request adds up to.",
    )
    request_name: tuple[str, ...] = quantity(
        "name of a request", "U", "", "as the file says", "Which request it is."
    )
    rounds: NDArray[Any] = quantity(
        "rounds",
        "R",
        "",
        "request; drafted (-1 where not known) and accepted tokens; of a histogram sorted by "
        "accepted, since it says no order",
        "What each verification gave.",
    )
    position_drafted: Integers = quantity(
        "drafted at this place", "D", "", "rounds that drafted so many; -1 where not known",
        "How often there was such a token.",
    )  # fmt: skip
    position_accepted: Integers = quantity(
        "accepted at this place", "D", "", "rounds that accepted so many or more; -1 where not "
        "known", "How often it was right, and all before it.",
    )  # fmt: skip
    position_share: Floats = quantity(
        "acceptance by place",
        "D",
        "",
        "accepted / drafted at this place; over all rounds where lengths of drafts are not known; "
        "as reported where no rounds are",
        "How soon guesses go wrong.",
    )
    definitions: list[dict[str, Any]] = quantity(
        "acceptance lengths", "", "", "each with title, formula, who uses it and value; None where "
        "what it needs is not known", "One run has several, which are not the same number.",
    )  # fmt: skip
    token_ids: Integers = quantity(
        "token id", "S", "", "as given; -1 where only text is", "Which vocabulary entry."
    )
    token_text: tuple[str, ...] = quantity(
        "token", "S", "", "as given; empty where only its id is", "The piece of text."
    )
    token_logprob: Floats = quantity(
        "log probability", "S", "nats", "as given; NaN where none is", "How likely it was found."
    )
    token_request: Integers = quantity(
        "request of a token", "S", "", "index of the request", "Which text it belongs to."
    )
    token_source: Integers = quantity(
        "source of a token",
        "S",
        "",
        "0 not known, 1 drafted and accepted, 2 the one that follows a round, 3 the prompt's own",
        "Whether a token was guessed.",
    )
    texts: tuple[str, ...] = quantity("text", "U", "", "as given", "What was generated.")
    prompts: tuple[str, ...] = quantity("prompt", "U", "", "as given", "What was continued.")
    audit: dict[str, Any] = quantity(
        "checks", "", "", "identities between rounds, sums, ratios and tokens", "Whether the "
        "figures agree with each other.",
    )  # fmt: skip
    notes: tuple[str, ...] = quantity("notes", "", "", "", "What is not known, and why.")
