"""What a trace measures of attention weights, pooled so that no T by T array is stored.

L layers, H query heads, T tokens, F forgetting factors, n runs of queries, g tiles a side. A[i, j]
is the attention weight of query i on key j.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]

SINK = "Xiao et al., 2023, arXiv:2309.17453; Gu et al., 2024, arXiv:2410.10781"
A2SF = "Jo & Shin, 2024, arXiv:2407.20485"
VIG = "Vig & Belinkov, 2019, arXiv:1906.04284"


@dataclass(frozen=True)
class AttentionQuantities(Result):
    """Statistics of the attention weights of every head."""

    received_mass: Floats = quantity(
        "received attention",
        "L,H,T",
        "",
        "mean over queries i >= j of A[i, j], for key j",
        "How much attention later tokens pay to this one.",
        SINK,
    )
    sink_score: Floats = quantity(
        "sink score",
        "L,H",
        "",
        "received attention of position 0: mean over i of A[i, 0]",
        "How much of its attention a head parks on the first token.",
        SINK,
    )
    first_mass: Floats = quantity(
        "attention to the first token",
        "L,H,T",
        "",
        "A[i, 0], for query i; its mean over the first n queries is the sink score at length n",
        "How much this token looks at the first one.",
        SINK,
    )
    decayed_mass: Floats = quantity(
        "accumulated attention with forgetting",
        "L,H,F,T",
        "",
        "sum over queries i >= j of f^(T-1-i) A[i, j], for key j and each forgetting factor f",
        "Attention received, old attention counting less.",
        A2SF,
    )
    forgetting: tuple[float, ...] = quantity(
        "forgetting factors",
        "F",
        "",
        "the factors f of decayed_mass; 1 forgets nothing",
        "How fast old attention stops counting.",
        A2SF,
    )
    persistence: Floats = quantity(
        "persistence of pivotal tokens",
        "L,H,n-1",
        "",
        "queries in n equal runs; of the keys older than runs b-1 and b that run b can see, those "
        "are pivotal in a run whose mean attention is over 1.0001 times uniform attention, mean of "
        "1/(i+1) (1/w in a window of w keys); share of the keys pivotal in run b that were so in "
        "run b-1; NaN where there is none",
        "Whether the tokens that matter now go on to matter.",
        "Liu et al., 2023, arXiv:2305.17118; variant: whole-run thresholds",
    )
    persistence_chance: Floats = quantity(
        "persistence by chance",
        "L,H,n-1",
        "",
        "share of the keys older than runs b-1 and b that run b can see which were pivotal in run "
        "b-1: what persistence would be if the pivotal keys of run b were drawn at random",
        "The value that would mean nothing.",
    )
    attention_entropy_nats: Floats = quantity(
        "attention entropy",
        "L,H,T",
        "nats",
        "-sum_j B[i, j] ln B[i, j], for query i; B[i, j] = A[i, j] / sum_j A[i, j], "
        "which is A where there is no learned sink (until version 3 of A itself)",
        "How widely a head looks from this token: 0 means at one token only.",
        "Clark et al., 2019, arXiv:1906.04341",
    )
    attention_distance: Floats = quantity(
        "attention distance",
        "L,H,T",
        "tokens",
        "sum_j B[i, j] (i - j), for query i; B[i, j] = A[i, j] / sum_j A[i, j], "
        "which is A where there is no learned sink (until version 3 of A itself)",
        "How far back a head looks from this token, on average.",
        VIG,
    )
    learned_sink_mass: Floats | None = quantity(
        "attention to the learned sink",
        "L,H,T",
        "",
        "1 - sum_j A[i, j], for query i: what a learned logit without a key takes of the softmax; "
        "0 where the model has none",
        "How much of its attention a head spends on no token at all.",
        "Agarwal et al., 2025, arXiv:2508.10925",
        since=4,
    )
    previous_mass: Floats = quantity(
        "previous-token attention",
        "L,H",
        "",
        "mean over i >= 1 of A[i, i-1]; NaN for a text of one token",
        "How much a head looks at the token just before.",
        "Elhage et al., 2021, transformer-circuits.pub",
    )
    self_mass: Floats = quantity(
        "self attention share",
        "L,H",
        "",
        "mean over i of A[i, i]",
        "How much a head looks at the token itself.",
    )
    attention_tiles_mean: Floats = quantity(
        "attention map, mean",
        "L,H,g,g",
        "",
        "mean of A[i, j] over the causal pairs (j <= i) of a tile; position i lies in tile "
        "floor(i g / T), g = min(T, tiles); NaN in tiles without a causal pair",
        "The attention map, pooled so that any length fits.",
    )
    attention_tiles_max: Floats = quantity(
        "attention map, highest",
        "L,H,g,g",
        "",
        "maximum of A[i, j] over the causal pairs of a tile; NaN in tiles without one",
        "The same map, showing single strong links that a mean would hide.",
    )
