"""The result of an intervention, every quantity defined where it is declared.

L layers, H query heads, T tokens of the text, T' tokens of the changed run. A[i, j] is the
attention weight of query i on key j, A' the changed one.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.read_text import role_quantity, text_quantity, turn_quantity
from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

SINK = "Xiao et al., 2023, arXiv:2309.17453; Gu et al., 2024, arXiv:2410.10781"
LEAST_QUERIES = 16
"""The mean attention that a key receives is ranked only where it rests on this many queries."""


def _surprisal(axis: str, probs: str) -> Any:
    return quantity(
        "surprisal",
        axis,
        "nats",
        f"-ln {probs}(token t | tokens before t); NaN for the first token",
        "How unexpected this token was to the model.",
        "Hale, 2001; Levy, 2008",
    )


def _entropy(axis: str, probs: str) -> Any:
    return quantity(
        "entropy",
        axis,
        "nats",
        f"-sum_x {probs}(x) ln {probs}(x), {probs} = the distribution after token t",
        "How undecided the model is about what comes next.",
        "Shannon, 1948",
    )


def _sink_score(weights: str) -> Any:
    return quantity(
        "sink score",
        "L,H",
        "",
        f"mean over i of {weights}[i, 0]",
        "How much of its attention a head parks on the first token.",
        SINK,
    )


def _sink_position(weights: str) -> Any:
    return quantity(
        "most attended token",
        "L,H",
        "tokens",
        f"the key j with the highest mean over i >= j of {weights}[i, j], of those with at least "
        f"{LEAST_QUERIES} queries (of a shorter text only the first); ties go to the earlier",
        "Where the head's strongest sink stands.",
        SINK,
    )


def _received(axis: str, weights: str) -> Any:
    return quantity(
        "received attention",
        f"L,H,{axis}",
        "",
        f"mean over queries i >= j of {weights}[i, j], for key j",
        "How much attention later tokens pay to this one.",
        SINK,
    )


@dataclass(frozen=True)
class InterventionResult(Result):
    """The same text read as it is, and with one thing changed."""

    schema_version: ClassVar[int] = 2

    token_ids: Integers = quantity(
        "token id", "T", "", "the tokenizer's number of token t", "Which vocabulary entry this is."
    )
    token_text: tuple[str, ...] = quantity(
        "token text", "T", "", "the token decoded alone", "The piece of text of this token."
    )
    changed_ids: Integers = quantity(
        "token id", "T'", "", "as token_ids, of the changed run", "What was read instead."
    )
    changed_text: tuple[str, ...] = quantity(
        "token text", "T'", "", "as token_text, of the changed run", "What was read instead."
    )
    aligned: Integers = quantity(
        "aligned position",
        "T'",
        "tokens",
        "position in the plain run that token t of the changed run stands for; -1 for none",
        "Which token of the text this is.",
    )
    surprisal_nats: Floats = _surprisal("T", "p")
    changed_surprisal_nats: Floats = _surprisal("T'", "p'")
    entropy_nats: Floats = _entropy("T", "p")
    changed_entropy_nats: Floats = _entropy("T'", "p'")
    kl_nats: Floats = quantity(
        "divergence from the plain run",
        "T'",
        "nats",
        "KL(p || p') = sum_x p(x) ln(p(x) / p'(x)) of the distributions after aligned tokens; NaN "
        "where none is aligned",
        "How far the change moves the model's prediction here.",
        "Kullback & Leibler, 1951",
    )
    sink_score: Floats = _sink_score("A")
    changed_sink_score: Floats = _sink_score("A'")
    sink_position: Integers = _sink_position("A")
    changed_sink_position: Integers = _sink_position("A'")
    received_mass: Floats = _received("T", "A")
    changed_received_mass: Floats = _received("T'", "A'")
    touched: NDArray[np.bool_] = quantity(
        "changed heads",
        "L,H",
        "",
        "true where the method computes this head's attention in another way",
        "Which heads were changed; the others change only through what they read.",
    )
    taken_mass: Floats = quantity(
        "mass taken",
        "L,H",
        "",
        "mean over i of sum_j max(0, A0[i, j] - A'[i, j]), where A0 is what the head would have "
        "computed from the same queries and keys; 0 for heads that are not changed",
        "How much of a head's attention the method took from where it was.",
    )
    loss_nats: float = quantity(
        "loss",
        "",
        "nats",
        "mean of -ln p(token) over the compared tokens",
        "How badly the model predicts the text.",
    )
    changed_loss_nats: float = quantity(
        "loss after the change",
        "",
        "nats",
        "mean of -ln p'(token) over the compared tokens",
        "How badly it predicts the text after the change.",
    )
    loss_difference_nats: float = quantity(
        "difference in loss",
        "",
        "nats",
        "changed loss - loss",
        "What the change costs; below zero it helps.",
    )
    loss_error_nats: float = quantity(
        "standard error of the difference",
        "",
        "nats",
        "standard deviation of the n differences per token / sqrt(n), as if tokens were "
        "independent; NaN for fewer than 2",
        "How far chance alone could move the difference.",
    )
    compared_tokens: int = quantity(
        "compared tokens",
        "",
        "tokens",
        "number of aligned tokens that have something before them in both runs",
        "How many tokens the losses are a mean of.",
    )
    acts: str = quantity(
        "what is really done",
        "",
        "",
        "edit: other tokens are read; mask: keys are hidden; reshape: weights are computed anew",
        "What kind of change this is; none of them saves memory or time.",
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
