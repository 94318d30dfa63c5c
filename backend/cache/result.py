"""The result of a run under KV-cache policies, every quantity defined where it is declared.

P policies, S steps, L layers, G key-value heads, T tokens of the prompt, R recorded choices, Q
recorded selections, N recorded steps of noise. Step 0 reads the prompt; step s >= 1 reads generated
token s - 1, which stands at position T + s - 1. Row s of a quantity per step describes what holds
after step s, and the distribution from which token s was chosen. What a policy had no time to
reach, or stopped before, is NaN or -1.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.cache.policy_run import PolicyRun
from tokenarium.backend.runs.read_text import role_quantity, text_quantity, turn_quantity
from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class CacheResult(Result):
    """The same prompt continued under several policies."""

    schema_version: ClassVar[int] = 4
    oldest_readable: ClassVar[int] = 2

    policies: tuple[str, ...] = quantity(
        "policies", "P", "", "slugs as asked", "Which methods were compared."
    )
    titles: tuple[str, ...] = quantity(
        "names of the policies", "P", "", "as declared", "What people call the methods."
    )
    labels: tuple[str, ...] = quantity(
        "what is really done",
        "P",
        "",
        "evict: memory is freed; select: all is kept, a subset read; mask: pairs are hidden; "
        "reshape: other dimensions shrink; merge: entries are joined; nothing",
        "Whether the method saves memory, time, or nothing.",
    )
    budget_tokens: int = quantity(
        "budget",
        "",
        "tokens",
        "entries per KV head right after an eviction, averaged over the layers; as asked, or the "
        "ratio times T, or the megabytes over the bytes of one entry in every head that is not "
        "left alone, rounded",
        "How much a policy may keep.",
    )
    prompt_ids: Integers = quantity(
        "token id", "T", "", "the tokenizer's number", "Which vocabulary entries the prompt is."
    )
    prompt_text: tuple[str, ...] = quantity(
        "prompt token", "T", "", "the token decoded alone", "The piece of text of this token."
    )
    prompt: str | None = text_quantity(since=3)
    turn: Integers | None = turn_quantity(since=3)
    turn_role: tuple[str, ...] | None = role_quantity(since=3)
    token_ids: Integers = quantity(
        "generated token",
        "P,S",
        "",
        "the most likely token under the policy (ties by id), or the given continuation; -1 after "
        "the end",
        "What was read next.",
    )
    token_text: tuple[tuple[str, ...], ...] = quantity(
        "generated token", "P,S", "", "the token decoded alone", "The piece of text of this token."
    )
    text: tuple[str, ...] = quantity(
        "generated text", "P", "", "all tokens decoded together", "What the policy made of it."
    )
    cache_bytes: NDArray[np.int64] = quantity(
        "cache",
        "P,S",
        "bytes",
        "bytes of the storage behind keys, values, positions and the policy's own numbers per "
        "entry, room to grow included; -1 after the end",
        "What the cache really takes.",
    )
    state_bytes: NDArray[np.int64] = quantity(
        "policy's own state",
        "P,S",
        "bytes",
        "bytes of the storage behind what the policy remembers apart from entries, such as each "
        "token's surprisal; not part of the cache's bytes; -1 after the end",
        "What choosing takes beside the cache.",
    )
    layer_budgets: Integers = quantity(
        "budget by layer",
        "P,L",
        "tokens",
        "entries per KV head right after an eviction, averaged over the heads; -1 where the layer "
        "is left alone",
        "How much each layer may keep.",
    )
    windows: Integers | None = quantity(
        "windows of the model",
        "L",
        "tokens",
        "most keys that a query of the layer sees by the model's design; 0 where all",
        "What a layer forgets whatever the policy does.",
        since=4,
    )
    entries: Floats = quantity(
        "entries held",
        "P,S,L",
        "tokens",
        "mean over the KV heads of a layer of the entries it holds",
        "How many tokens each layer still knows.",
    )
    prefill_ms: Floats = quantity(
        "time to first token",
        "P",
        "ms",
        "wall time of reading the prompt, scores and evictions included",
        "How long until the first token is known.",
    )
    step_ms: Floats = quantity(
        "time per token",
        "P,S",
        "ms",
        "wall time of the step, scores and evictions included, the full model's not; NaN for step "
        "0",
        "How long each token takes.",
    )
    peak_bytes: Floats = quantity(
        "peak memory",
        "P",
        "bytes",
        "most bytes of tensors on the device during the policy's own steps; NaN where the device "
        "does not count them",
        "The most memory that was in use, the model included.",
    )
    surprisal_nats: Floats = quantity(
        "surprisal",
        "P,S",
        "nats",
        "-ln p(token s) under the policy",
        "How unexpected this token was with the reduced cache.",
        "Hale, 2001; Levy, 2008",
    )
    full_surprisal_nats: Floats = quantity(
        "surprisal, full cache",
        "P,S",
        "nats",
        "-ln p(token s) of the full model that reads the same tokens; NaN without the oracle",
        "How unexpected it would have been with everything kept.",
    )
    perplexity: Floats = quantity(
        "perplexity",
        "P",
        "",
        "exp(mean of surprisal) over the given continuation; NaN where tokens were generated",
        "How badly a given text is predicted.",
        "Jelinek et al., 1977",
    )
    full_perplexity: Floats = quantity(
        "perplexity, full cache",
        "P",
        "",
        "the same of the full model; NaN without the oracle",
        "How badly it is predicted with everything kept.",
    )
    kl_nats: Floats = quantity(
        "divergence from the full cache",
        "P,S",
        "nats",
        "KL(full || policy) = sum_x p_full(x) ln(p_full(x) / p(x)), the full model reading the "
        "policy's own tokens; NaN without the oracle",
        "How far the reduced cache moves the prediction.",
        "Kullback & Leibler, 1951",
    )
    top1_agree: Floats = quantity(
        "same first choice",
        "P,S",
        "",
        "1 where the policy and the full model find the same token most likely, else 0; NaN "
        "without the oracle",
        "Whether the full model would have said the same.",
    )
    first_divergence: Integers = quantity(
        "first divergence",
        "P",
        "",
        "first step where the full model would have chosen another token; -1 where there is none, "
        "or nothing to compare with",
        "From here on the text is another one.",
    )
    lost_mass: Floats = quantity(
        "attention lost",
        "P,S,L",
        "",
        "mean over KV heads of the full model's attention at step s to entries the policy had "
        "dropped by then, or did not read at this step; 0 in layers that are left alone; NaN "
        "without the oracle, and for step 0",
        "How much the full model looks at what is gone.",
    )
    topk_overlap: Floats = quantity(
        "overlap with the true top k",
        "P,S,L",
        "",
        "mean over KV heads of the share of the k entries with most attention in the full model at "
        "step s that the policy read, k = entries it read; by chance k / (T + s); 1 in layers that "
        "are left alone",
        "Whether the kept tokens are those that matter now.",
    )
    evicted_at: NDArray[np.int16] = quantity(
        "dropped at",
        "P,L,G,T+S",
        "",
        "step after which the entry of this position was dropped; -1 where it never was",
        "When each token was forgotten.",
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
    notes: tuple[tuple[str, ...], ...] = quantity(
        "notes", "P", "", "sentences, per policy", "What was done otherwise than one might expect."
    )
    general_notes: tuple[str, ...] = quantity(
        "notes on the run", "", "", "sentences", "What was cut or read in another way."
    )

    @property
    def runs(self) -> tuple[PolicyRun, ...]:
        """One view per policy, in the order asked for."""
        return tuple(PolicyRun(self, number) for number in range(len(self.policies)))
