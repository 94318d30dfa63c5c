"""What a budget means in entries per head."""

from dataclasses import dataclass
from math import ceil, floor

import torch
from transformers import PretrainedConfig

from tokenarium.backend.cache.request import BudgetUnit
from tokenarium.backend.cost.work import Sizes
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.structure import context_of
from tokenarium.backend.models.windows import windows_of

_POSITION_BYTES = 4


@dataclass(frozen=True)
class CacheSizes:
    """What one entry takes."""

    layers: int
    windowed: int
    """Layers whose queries see a window only."""
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
    window: int = 0
    """Most keys that queries of those layers see; 0 where there are none."""

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
            window=max((own or 0 for own in windows_of(config)), default=0),
        )


def _bytes_of_all_layers(megabytes: float, sizes: CacheSizes) -> int:
    """Return the bytes of one entry in all layers that keep to a budget.

    Layers with a window do where it is smaller than what they hold by the model's design.
    """
    if megabytes * 1e6 < sizes.entry_bytes * sizes.layers * (sizes.window - 1):
        return sizes.entry_bytes * sizes.layers
    return sizes.entry_bytes * max(1, sizes.layers - sizes.windowed)


def tokens_per_head(budget: float, unit: BudgetUnit, prompt: int, sizes: CacheSizes) -> int:
    """Return a budget in entries per KV head, rounded.

    Args:
        budget: in ``unit``.
        unit: tokens, ratio (share of the prompt that is kept), or megabytes (10^6 bytes).
        prompt: tokens of the prompt.
        sizes: of the model.
    Raises:
        ValueError: if it comes to less than one, or is a fraction of a token.
    """
    each = _bytes_of_all_layers(budget, sizes)
    if unit == "tokens" and budget != round(budget):
        raise ValueError(
            f"budget={budget:g} tokens is no whole number: choose {floor(budget)} or {ceil(budget)}"
        )
    exact = {"tokens": budget, "ratio": budget * prompt, "megabytes": budget * 1e6 / each}[unit]
    tokens = round(exact)
    if tokens < 1:
        least = {"tokens": 1.0, "ratio": 1 / prompt, "megabytes": each / 1e6}[unit]
        raise ValueError(
            f"budget={budget:g} {unit} is {exact:.2g} entries per head of this model and prompt: "
            f"raise budget to at least {least:.3g}"
        )
    return tokens
