"""The result of new tokens in an old model; M initialisers, N new tokens."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

ADAPT = "Sharthak et al., 2025, arXiv:2505.09738"
Integers = NDArray[np.int32]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class NewTokensResult(Result):
    """What a model loses when words that it spells in pieces become single tokens."""

    schema_version: ClassVar[int] = 1

    new_token: tuple[str, ...] = quantity(
        "new token", "N", "", "words of the text, a space before them included", "What is added."
    )
    pieces: tuple[str, ...] = quantity(
        "pieces", "N", "", "native tokens, a bar between them", "What it replaces."
    )
    occurrences: Integers = quantity(
        "occurrences", "N", "", "times in the text", "How often it is used."
    )
    native_nats: Floats = quantity(
        "nats in pieces",
        "N",
        "nats",
        "mean over occurrences of sum of -ln p over its pieces",
        "What the word costs the model as it was trained.",
    )
    initialiser: tuple[str, ...] = quantity(
        "initialiser", "M", "", "as asked, with its parameters", "How the rows are made."
    )
    new_nats: Floats = quantity(
        "nats as one token",
        "M,N",
        "nats",
        "mean over occurrences of -ln p(new token | tokens before), over old and new tokens",
        "What the word costs as a token that the model was not trained with.",
        ADAPT,
    )
    nats_per_byte: Floats = quantity(
        "nats per byte",
        "M",
        "nats",
        "sum of -ln p over the tokens of the text with new ones / its UTF-8 bytes",
        "The loss after the swap.",
        ADAPT,
    )
    elsewhere_nats: Floats = quantity(
        "elsewhere",
        "M",
        "nats",
        "sum over old tokens outside of new ones of -ln p with new ones less -ln p without",
        "What reading new tokens costs the rest of the text.",
    )
    similar: tuple[str, ...] = quantity(
        "similar tokens",
        "N",
        "",
        "old tokens beside the pieces that the rows are made of, a bar between them, by the first "
        "initialiser that has any",
        "What it is taken to be like.",
        ADAPT,
    )
    native_nats_per_byte: float = quantity(
        "native nats per byte", "", "nats", "sum of -ln p / UTF-8 bytes", "The loss before."
    )
    native_tokens: int = quantity("native tokens", "", "tokens", "of the text", "Length before.")
    tokens: int = quantity("tokens", "", "tokens", "of the text with new ones", "Length after.")
    text_bytes: int = quantity("bytes", "", "bytes", "UTF-8 bytes", "How long the text is.")
