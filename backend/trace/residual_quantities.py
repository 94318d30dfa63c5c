"""What a trace measures of the residual stream, of keys and values, and of its logit lens.

L layers, G key-value heads, T tokens.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

MASSIVE = "Sun et al., 2024, arXiv:2402.17762"
LENS = "nostalgebraist, 2020; Belrose et al., 2023, arXiv:2303.08112"


@dataclass(frozen=True)
class ResidualQuantities(Result):
    """Sizes and readings of what stands between the layers."""

    residual_norm: Floats = quantity(
        "residual norm",
        "L+1,T",
        "",
        "Euclidean norm of the residual stream entering layer l; entry L is before the final norm",
        "How large the token's running representation is; sinks often stand out.",
        MASSIVE,
    )
    residual_median: Floats = quantity(
        "median activation",
        "L+1,T",
        "",
        "median over dimensions of |h| (the lower of two middle ones), h = the residual stream "
        "entering layer l",
        "The size of an ordinary dimension.",
        MASSIVE,
    )
    residual_top_dims: Integers = quantity(
        "largest dimensions",
        "L+1,T,3",
        "",
        "the dimensions of the residual stream with the largest |h|, by falling |h|; -1 where the "
        "stream has fewer",
        "Which dimensions carry the peak; sinks share a few massive ones.",
        MASSIVE,
    )
    residual_top_values: Floats = quantity(
        "largest activations",
        "L+1,T,3",
        "",
        "h at residual_top_dims, with its sign",
        "How large they are; massive means over 100 and over 1,000 times the median.",
        MASSIVE,
    )
    key_norm: Floats = quantity(
        "key norm",
        "L,G,T",
        "",
        "Euclidean norm of the key as cached (after position encoding)",
        "Small keys attract or repel attention more weakly.",
        "Devoto et al., 2024, arXiv:2406.11430",
    )
    value_norm: Floats = quantity(
        "value norm",
        "L,G,T",
        "",
        "Euclidean norm of the value",
        "How much this token can add where it is attended to; sinks are often drained.",
        "Guo et al., 2024, arXiv:2410.13835",
    )
    lens_ids: Integers | None = quantity(
        "logit lens",
        "L+1,T",
        "",
        "argmax of the unembedding of the final norm of the residual stream; entry L is the model "
        "itself",
        "What the model would say if it stopped at this layer.",
        LENS,
    )
    lens_text: tuple[tuple[str, ...], ...] | None = quantity(
        "logit lens text", "L+1,T", "", "each of lens_ids decoded alone", "The same, as text.", LENS
    )
    lens_entropy_nats: Floats | None = quantity(
        "logit lens entropy",
        "L+1,T",
        "nats",
        "entropy of the lens distribution of layer l",
        "How undecided the model still is at this layer.",
        LENS,
    )
    lens_kl_nats: Floats | None = quantity(
        "logit lens divergence",
        "L+1,T",
        "nats",
        "KL(final || layer l) = sum_x p_final(x) ln (p_final(x) / p_l(x))",
        "How far this layer's guess is from the final one.",
        LENS,
    )
