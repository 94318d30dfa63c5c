"""The result of a logit lens: K layers of a text, after R of its tokens."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
LENS = "nostalgebraist, 2020; Belrose et al., 2023, arXiv:2303.08112"


@dataclass(frozen=True)
class LensResult(Result):
    """What the residual stream says at every layer, in the vocabulary of the model."""

    schema_version: ClassVar[int] = 1

    rows: Integers = quantity("rows", "R", "", "positions of tokens", "After which tokens.")
    layers: Integers = quantity(
        "layers",
        "K",
        "",
        "layer that the stream enters; the number of layers stands for the model's own output",
        "At which depth.",
    )
    row_text: tuple[str, ...] = quantity(
        "token text", "R", "", "the token at each row decoded alone", "After which tokens."
    )
    lens_ids: Integers = quantity(
        "logit lens",
        "K,R",
        "",
        "argmax of the unembedding of the final norm of the residual stream; -1 where a partial "
        "result has none yet",
        "What the model would say if it stopped at this layer.",
        LENS,
    )
    lens_text: tuple[tuple[str, ...], ...] = quantity(
        "logit lens text", "K,R", "", "each of lens_ids decoded alone", "The same, as text.", LENS
    )
    lens_entropy_nats: Floats = quantity(
        "logit lens entropy",
        "K,R",
        "nats",
        "entropy of the lens distribution of layer l",
        "How undecided the model still is at this layer.",
        LENS,
    )
    lens_kl_nats: Floats = quantity(
        "logit lens divergence",
        "K,R",
        "nats",
        "KL(final || layer l) = sum_x p_final(x) ln (p_final(x) / p_l(x))",
        "How far this layer's guess is from the final one.",
        LENS,
    )
    products: str = quantity(
        "number format of the products",
        "",
        "",
        "of the unembedding's matrix products inside the model; the output's is that of the "
        "weights; sums over the vocabulary are float32",
        "How finely the lens was computed.",
    )
    checked_cells: int = quantity(
        "cells computed twice",
        "",
        "",
        "cells, evenly spread over layers and rows, whose product was also made in float32; 0 "
        "where all were",
        "How many cells the errors rest on.",
    )
    entropy_error_nats: float = quantity(
        "largest error of the entropy",
        "",
        "nats",
        "max over the checked cells of |entropy - entropy with float32 products|",
        "How far off an entropy may be.",
    )
    kl_error_nats: float = quantity(
        "largest error of the divergence",
        "",
        "nats",
        "max over the checked cells of |KL - KL with float32 products|",
        "How far off a divergence may be.",
    )
    same_first: float = quantity(
        "same first guess",
        "",
        "",
        "share of the checked cells whose argmax is that of float32 products",
        "How often the word shown is the same.",
    )
    length: int = quantity("tokens", "", "tokens", "tokens of the text", "How long the text is.")
    notes: tuple[str, ...] = quantity(
        "notes", "", "", "what was cut, replaced or measured another way", "What to know."
    )
