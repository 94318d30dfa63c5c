"""Bytes that runs which generate take beside their models, estimated from above."""

from dataclasses import dataclass

import torch
from transformers import PretrainedConfig

from tokenarium.backend.cache.budget import CacheSizes
from tokenarium.backend.cache.ledger import Ledger
from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cache.shared_passes import MOST_BYTES as MOST_SHARED
from tokenarium.backend.cost.work import Choices, Sizes, on_device
from tokenarium.backend.speculation.request import SpeculateRequest

_KEPT = 1.5
"""What a policy remembers of each entry, and the copy made while buffers move, as a factor."""
_PROBS_COPIES = 8
"""Float32 copies of [nodes, V]: logits, distributions and the log of them, of both models."""
MOST_HELD = 64 * 2**20
"""Bytes of a speculative run's logits and distributions that wait to be recorded or judged."""


@dataclass(frozen=True)
class CacheRunPlan:
    """What decides how much memory a run under policies takes."""

    request: CacheRequest
    config: PretrainedConfig
    """Of the model."""
    dtype: torch.dtype
    """Of the weights."""
    device: torch.device
    """Where it runs."""
    prompt: int
    """Tokens of the prompt."""
    steps: int
    """Tokens to generate, or of the given continuation."""
    budget: int
    """Entries per KV head right after an eviction, averaged over the layers."""


def bytes_of_cache_run(plan: CacheRunPlan) -> int:
    """Return an upper estimate of what a run takes beside the model.

    A policy holds the entries of its budget in every layer and the whole prompt in one, or all
    that was read where nothing is dropped while decoding; the oracle a whole cache beside it.
    """
    request, prompt, steps = plan.request, plan.prompt, plan.steps
    sizes, model = CacheSizes.read(plan.config, plan.dtype, 0), Sizes.of(plan.config)
    work = on_device(model, plan.dtype, Choices(1, 1, 0, lens=False), plan.device)
    whole = sizes.layers * (prompt + steps) * sizes.entry_bytes
    largest = 0
    for spec in request.policies:
        after = {"never": prompt + steps, "prefill": plan.budget + steps, "step": plan.budget}
        entries = min(prompt + steps, after[spec.policy.when])
        at_once = min(prompt, request.prompt_chunk or prompt)
        largest = max(largest, (entries * sizes.layers + at_once) * sizes.entry_bytes)
    ledger = Ledger.size_bytes(len(request.policies), steps, sizes.layers, model.kv_heads, prompt)
    read = sizes.entry_bytes + plan.dtype.itemsize * model.heads * model.head_size
    passes = sizes.layers * (prompt + steps) * read
    shared = min(MOST_SHARED, passes) if plan.device.type == "cpu" else 0
    total = work.total(prompt) + _KEPT * largest + (whole if request.oracle else 0) + 3 * ledger
    return int(total + shared)


def bytes_of_speculation(
    request: SpeculateRequest,
    configs: list[PretrainedConfig],
    dtype: torch.dtype,
    device: torch.device,
    prompt: int,
) -> int:
    """Return an upper estimate of what a run takes beside the models.

    Args:
        configs: of the target, and of the draft model where there is one.
        dtype: of the weights.
        device: where they compute.
        prompt: tokens.
    """
    room = prompt + request.max_new_tokens + request.tree_budget + 1
    total = 0
    for config in configs:
        sizes = Sizes.of(config)
        work = on_device(sizes, dtype, Choices(1, 1, 0, lens=False), device)
        entry = 2 * sizes.kv_heads * sizes.head_size * dtype.itemsize
        probs = _PROBS_COPIES * 4 * (request.tree_budget + 1) * sizes.vocabulary
        held = min(MOST_HELD, request.max_new_tokens * probs)
        total += work.total(prompt) + sizes.layers * room * entry + probs + held
    return total
