"""Bytes that runs which generate take beside their models, estimated from above."""

import torch
from transformers import PretrainedConfig

from tokenarium.backend.cache.budget import CacheSizes
from tokenarium.backend.cache.ledger import Ledger
from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cost.work import Choices, Sizes, on_device
from tokenarium.backend.speculation.request import SpeculateRequest

_KEPT = 1.5
"""What a policy remembers of each entry, and the copy made while buffers move, as a factor."""
_PROBS_COPIES = 8
"""Float32 copies of [nodes, V]: logits, distributions and the log of them, of both models."""


def bytes_of_cache_run(
    request: CacheRequest,
    config: PretrainedConfig,
    dtype: torch.dtype,
    device: torch.device,
    prompt: int,
    steps: int,
    budget: int,
) -> int:
    """Return an upper estimate of what a run takes beside the model.

    A policy holds the entries of its budget in every layer and the whole prompt in one, or all
    that was read where nothing is dropped while decoding; the oracle a whole cache beside it.
    """
    sizes, model = CacheSizes.read(config, dtype, 0), Sizes.of(config)
    work = on_device(model, dtype, Choices(1, 1, 0, lens=False), device)
    whole = sizes.layers * (prompt + steps) * sizes.entry_bytes
    held = 0
    for spec in request.policies:
        after = {"never": prompt + steps, "prefill": budget + steps, "step": budget}
        entries = min(prompt + steps, after[spec.policy.when])
        held = max(held, (entries * sizes.layers + prompt) * sizes.entry_bytes)
    ledger = Ledger.size_bytes(len(request.policies), steps, sizes.layers, model.kv_heads, prompt)
    total = work.total(prompt) + _KEPT * held + (whole if request.oracle else 0) + 3 * ledger
    return int(total)


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
        total += work.total(prompt) + sizes.layers * room * entry + probs
    return total
