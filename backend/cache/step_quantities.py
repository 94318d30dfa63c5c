"""What a run under policies measures at every step: tokens, bytes, time, and what it costs.

P policies, S steps, L layers, T tokens of the prompt.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.cache.compared import slugs_quantity, titles_quantity
from tokenarium.backend.runs.read_text import role_quantity, text_quantity, turn_quantity
from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class StepQuantities(Result):
    """What was asked, what each policy generated, and how far that is from the full cache."""

    policies: tuple[str, ...] = slugs_quantity("slugs as asked")
    titles: tuple[str, ...] = titles_quantity()
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
        "wall time of reading the prompt, scores and evictions included; what the model computes "
        "alike for several policies on a CPU was done once, and counts with what it took then",
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
        "-ln p(token s) of the full model that reads the same tokens; NaN where it does not read "
        "along",
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
        "the same of the full model; NaN where the full model does not read along",
        "How badly it is predicted with everything kept.",
    )
    kl_nats: Floats = quantity(
        "divergence from the full cache",
        "P,S",
        "nats",
        "KL(full || policy) = sum_x p_full(x) ln(p_full(x) / p(x)), the full model reading the "
        "policy's own tokens; NaN where the full model does not read along",
        "How far the reduced cache moves the prediction.",
        "Kullback & Leibler, 1951",
    )
    top1_agree: Floats = quantity(
        "same first choice",
        "P,S",
        "",
        "1 where the policy and the full model find the same token most likely, else 0; NaN "
        "where the full model does not read along",
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
        "where the full model does not read along, and for step 0",
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
