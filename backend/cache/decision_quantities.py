"""What policies decided: which entries were dropped, read and scored, and which were missed.

P policies, S steps, L layers, G key-value heads, T tokens of the prompt, R recorded choices, Q
recorded selections, M merged tokens, N recorded steps of noise, n most missed entries, K ranges
that searches looked at, C heads whose entries are clustered, B
pairs of neighbouring layers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

NEVER = -1
"""In ``evicted_at``: the entry was never dropped."""
NO_HEAD = -2
"""In ``evicted_at``: the layer does not attend, or has fewer key-value heads."""


@dataclass(frozen=True)
class DecisionQuantities(Result):
    """Every drop, and records of scores, selections and noise that are bounded in size."""

    evicted_at: NDArray[np.int16] = quantity(
        "dropped at",
        "P,L,G,T+S",
        "",
        "step after which the entry of this position was dropped; -1 where it never was, -2 where "
        "the layer has no such KV head",
        "When each token was forgotten.",
    )
    merged_at: Integers | None = quantity(
        "merges",
        "M,6",
        "",
        "policy, step, layer, KV head, position, and position of the entry of which that of the "
        "position before became a part; none where nothing is merged",
        "Which tokens went on as a part of another one.",
        since=5,
    )
    selected_at: Integers = quantity(
        "recorded selections",
        "Q,3",
        "",
        "policy, step, layer; only of policies that select, every n-th step, so that they stay "
        "under 32 MiB",
        "Which selections are recorded.",
    )
    selected_bits: NDArray[np.uint8] = quantity(
        "what was read",
        "Q,G,(T+S)/8",
        "",
        "bit p, the highest of each byte first: whether the step read the entry of position p",
        "What a policy that keeps everything looked at.",
    )
    search_at: Integers | None = quantity(
        "what searches looked at",
        "K,8",
        "",
        "policy, step, layer, KV head, level (0 the coarsest), first position of a range, the one "
        "after its last, and 1 where the search went on inside or its tokens are read; every n-th "
        "step, so that they stay under 2 MiB for each policy",
        "How a policy that searches found what it reads.",
        since=6,
    )
    search_scores: Floats | None = quantity(
        "scores of what searches looked at",
        "K",
        "",
        "as the policy scores the range; of HiP the logit of its middle token, q k without the "
        "scaling, mean over queries and over the query heads of the KV head",
        "Why the search went on here and not there.",
        since=6,
    )
    cluster_at: Integers | None = quantity(
        "clustered heads",
        "C,3",
        "",
        "policy, layer, KV head; only of policies that cluster, every n-th layer, so that they "
        "stay under 2 MiB for each policy",
        "Whose clusters are recorded.",
        since=6,
    )
    clusters: Integers | None = quantity(
        "cluster",
        "C,T",
        "",
        "number of the cluster of each token of the prompt, from 1; 0 where it is in none",
        "Which tokens a policy reads together or not at all.",
        since=6,
    )
    neighbours: Integers | None = quantity(
        "neighbouring layers",
        "B,3",
        "",
        "policy, lower layer, upper layer; only of policies that let layers share entries",
        "Which layers are compared.",
        since=6,
    )
    likeness: Floats | None = quantity(
        "likeness of neighbouring layers",
        "B,2",
        "",
        "cosine of the two layers' keys of one token in one KV head, after position encoding, mean "
        "over the prompt's tokens and the heads; the same of values",
        "Whether layers are alike, as sharing their entries takes for granted.",
        "Liu et al., 2024, arXiv:2405.14366",
        since=6,
    )
    score_at: Integers = quantity(
        "recorded choices",
        "R,4",
        "",
        "policy, step, layer, KV head; every n-th step, so that scores stay under 32 MiB; what "
        "was dropped, or not read by a policy that selects",
        "Which choices are recorded with their scores.",
    )
    score_threshold: Floats = quantity(
        "threshold",
        "R",
        "",
        "highest score that was dropped, or not read",
        "What had to be beaten to stay.",
    )
    score_positions: Integers = quantity(
        "entries near the threshold",
        "R,16",
        "tokens",
        "positions of the entries whose scores are nearest to the threshold; -1 for none",
        "Which decisions were close.",
    )
    score_near: Floats = quantity(
        "their scores", "R,16", "", "as the policy scores", "How close they were."
    )
    score_pooled: Floats = quantity(
        "scores over the text",
        "R,64",
        "",
        "mean score of the entries held before the choice, positions 0 to T + S in 64 equal parts; "
        "NaN where none was held",
        "How the policy values each part of the text.",
    )
    noise_near: Floats = quantity(
        "their scores on noise",
        "R,16",
        "",
        "expected score of the same entries if attention said nothing: every query's is even over "
        "what it sees (for accumulated sums, position i expects sum_(q >= i) 1 / entries seen by "
        "q), the mean of 8 draws of random attention where the score is not linear in it, or the "
        "mean of the scores that compete where it is the entry's alone; NaN without noise",
        "What part of a score is only the token's place.",
    )
    noise_pooled: Floats = quantity(
        "scores on noise over the text",
        "R,64",
        "",
        "the same, mean of the entries held in each of the 64 parts",
        "How noise would value each part of the text.",
    )
    noise_at: Integers = quantity(
        "recorded noise",
        "N,3",
        "",
        "policy, step, one layer of those with the same budget (-1 for all layers); every n-th "
        "step, so that it stays under 8 MiB",
        "For which steps it is known what noise alone would keep.",
    )
    noise_kept: NDArray[np.uint8] = quantity(
        "kept by noise alone",
        "N,T+S",
        "1/255",
        "share of 4 courses of random keys, values, queries, attention and surprisal, and of their "
        "KV heads, in which the policy's own code holds the entry of this position",
        "Which tokens would stay even if nothing had a meaning.",
    )
    needed_step: Integers = quantity(
        "needed at step",
        "P,n",
        "",
        "of the entries that were dropped, or not read at a step, those the full model then gives "
        "the highest single weight: the step of that weight; -1 after the last",
        "When a forgotten token was missed most.",
    )
    needed_layer: Integers = quantity(
        "layer of a needed token", "P,n", "", "its layer", "Where it was missed."
    )
    needed_head: Integers = quantity(
        "KV head of a needed token", "P,n", "", "its KV head", "By which head it was missed."
    )
    needed_position: Integers = quantity(
        "position of a needed token", "P,n", "tokens", "its position", "Which token was missed."
    )
    needed_weight: Floats = quantity(
        "weight of a needed token",
        "P,n",
        "",
        "the full model's attention to it, mean over the query heads of the KV head",
        "How much it was missed.",
    )
