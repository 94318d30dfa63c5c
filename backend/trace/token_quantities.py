"""What a trace measures of each token: its identity, and the distribution that follows it.

T tokens, k alternatives. Row t of a next-token quantity describes the distribution after token t;
surprisal and rank belong to token t itself.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.read_text import role_quantity, text_quantity, turn_quantity
from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class TokenQuantities(Result):
    """Tokens and next-token distributions of one text."""

    token_ids: Integers = quantity(
        "token id", "T", "", "the tokenizer's number of token t", "Which vocabulary entry this is."
    )
    token_text: tuple[str, ...] = quantity(
        "token text",
        "T",
        "",
        "the token decoded alone; bytes that are no whole character as <0xNN>",
        "The piece of text this token stands for.",
    )
    offsets: Integers = quantity(
        "offsets",
        "T,2",
        "characters",
        "[start, stop) in code points of the text; start = stop where nothing of it stands for the "
        "token",
        "Where in your text this token stands.",
    )
    special: NDArray[np.bool_] = quantity(
        "special token",
        "T",
        "",
        "true where the tokenizer or a template added the token",
        "Added by the tokenizer, not typed by you.",
    )
    special_id: NDArray[np.bool_] | None = quantity(
        "special vocabulary entry",
        "T",
        "",
        "true where the tokenizer declares the id a special token, such as <|im_start|>, whether a "
        "template added it or the text gave it as such",
        "Not a piece of text: a mark that the model was trained with.",
        since=3,
    )
    text: str | None = text_quantity(since=3)
    turn: Integers | None = turn_quantity(since=3)
    turn_role: tuple[str, ...] | None = role_quantity(since=3)
    surprisal_nats: Floats = quantity(
        "surprisal",
        "T",
        "nats",
        "-ln p(token t | tokens before t); NaN for the first token",
        "How unexpected this token was to the model.",
        "Hale, 2001; Levy, 2008",
    )
    entropy_nats: Floats = quantity(
        "entropy",
        "T",
        "nats",
        "-sum_x p(x) ln p(x), p = the distribution after token t",
        "How undecided the model is about what comes next.",
        "Shannon, 1948",
    )
    varentropy_nats2: Floats = quantity(
        "varentropy",
        "T",
        "nats^2",
        "sum_x p(x) (-ln p(x) - entropy)^2",
        "How unevenly the doubt is spread: high when a few tokens compete with a long tail.",
        "Kontoyiannis & Verdu, 2014, doi:10.1109/TIT.2013.2291007",
    )
    rank: Integers = quantity(
        "rank",
        "T",
        "",
        "number of tokens more likely than token t before it came; ties break by id; -1 for the "
        "first token",
        "0 means the model's first guess was right.",
    )
    top_ids: Integers = quantity(
        "most likely next tokens", "T,k", "", "ids by falling p, ties by id", "What it expected."
    )
    top_probs: Floats = quantity(
        "their probabilities", "T,k", "", "p(x) after token t", "How strongly it expected them."
    )
    top_text: tuple[tuple[str, ...], ...] = quantity(
        "text of the most likely next tokens",
        "T,k",
        "",
        "each of top_ids decoded alone",
        "What it expected, as text.",
    )
