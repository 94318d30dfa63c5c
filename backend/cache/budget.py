"""What a budget means in entries per head, and whether a run fits into memory."""

from dataclasses import dataclass

import torch
from transformers import PretrainedConfig

from tokenarium.backend.cache.ledger import Ledger
from tokenarium.backend.cache.request import BudgetUnit, CacheRequest
from tokenarium.backend.cost.free_memory import free_bytes
from tokenarium.backend.cost.work import Choices, Sizes, on_device
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.structure import context_of

_POSITION_BYTES = 4
_KEPT = 1.5
"""What a policy remembers of each entry, and the copy made while buffers move, as a factor."""


@dataclass(frozen=True)
class CacheSizes:
    """What one entry takes."""

    layers: int
    windowed: int
    """Layers that keep to a window of their own."""
    entry_bytes: int
    """Bytes of one entry in all KV heads of one layer."""
    kv_heads: int = 1
    """KV heads of a layer."""
    head_size: int = 1
    """Numbers in a key."""
    number_bytes: int = 4
    """Bytes of such a number."""
    context: int = 0
    """Most tokens the model was made to read at once."""

    @staticmethod
    def of(loaded: LoadedModel, windowed: int) -> "CacheSizes":
        """Read the sizes of a model of which some layers keep to a window."""
        return CacheSizes.read(loaded.model.config, loaded.dtype, windowed)

    @staticmethod
    def read(config: PretrainedConfig, dtype: torch.dtype, windowed: int) -> "CacheSizes":
        """Read the sizes from the configuration of a model that is not loaded."""
        sizes = Sizes.of(config)
        vector = sizes.head_size * dtype.itemsize
        return CacheSizes(
            layers=sizes.layers,
            windowed=windowed,
            entry_bytes=sizes.kv_heads * (2 * vector + _POSITION_BYTES),
            kv_heads=sizes.kv_heads,
            head_size=sizes.head_size,
            number_bytes=dtype.itemsize,
            context=context_of(config),
        )


def tokens_per_head(budget: float, unit: BudgetUnit, prompt: int, sizes: CacheSizes) -> int:
    """Return a budget in entries per KV head, rounded.

    Args:
        budget: in ``unit``.
        unit: tokens, ratio (share of the prompt that is kept), or megabytes (10^6 bytes).
        prompt: tokens of the prompt.
        sizes: of the model.
    Raises:
        ValueError: if it comes to less than one.
    """
    each = sizes.entry_bytes * max(1, sizes.layers - sizes.windowed)
    exact = {"tokens": budget, "ratio": budget * prompt, "megabytes": budget * 1e6 / each}[unit]
    tokens = round(exact)
    if tokens < 1:
        least = {"tokens": 1.0, "ratio": 1 / prompt, "megabytes": each / 1e6}[unit]
        raise ValueError(
            f"budget={budget:g} {unit} is {exact:.2g} entries per head of this model and prompt: "
            f"raise budget to at least {least:.3g}"
        )
    return tokens


def refuse_unless_fits(
    request: CacheRequest, loaded: LoadedModel, prompt: int, steps: int, budget: int
) -> None:
    """Refuse a run that would not fit into what is free now, beside the model.

    Raises:
        ValueError: saying how much is needed, how much is free, and what would help.
    """
    free = free_bytes(loaded.device)
    needed = needed_bytes(request, loaded, prompt, steps, budget)
    if free is None or needed <= free:
        return
    remedies = ["shorten the prompt", "lower max_new_tokens"]
    if request.oracle:
        remedies.insert(0, "set oracle=False")
    if len(request.policies) > 1:
        remedies.append("choose fewer policies")
    raise ValueError(
        f"{prompt} tokens and {steps} steps with {loaded.name} need {needed / 1e6:.0f} MB of "
        f"memory beside the model, but {max(0, free) / 1e6:.0f} MB are free: "
        f"{', or '.join(remedies)}"
    )


def needed_bytes(
    request: CacheRequest, loaded: LoadedModel, prompt: int, steps: int, budget: int
) -> int:
    """Return an upper estimate of what a run takes beside the model; see ``bytes_of_run``."""
    config = loaded.model.config
    return bytes_of_run(request, config, loaded.dtype, loaded.device, prompt, steps, budget)


def bytes_of_run(
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
