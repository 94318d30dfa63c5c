"""What a budget means in entries per head."""

from dataclasses import dataclass, replace
from math import ceil, floor

import torch
from transformers import PretrainedConfig

from tokenarium.backend.cache.request import BudgetUnit
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.context import context_of
from tokenarium.backend.models.layer_kinds import LayerSizes, layer_sizes
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.windows import windows_of

_POSITION_BYTES = 4


@dataclass(frozen=True)
class CacheSizes:
    """What one entry takes."""

    layers: int
    """Layers that attend."""
    windowed: int
    """Those of them whose queries see a window only."""
    entry_bytes: int
    """Bytes of one entry in all KV heads of one layer; of the largest where they differ."""
    by_layer: tuple[LayerSizes, ...] = ()
    """Heads and their sizes in each of these layers."""
    number_bytes: int = 4
    """Bytes of such a number."""
    context: int = 0
    """Most tokens the model was made to read at once."""
    window: int = 0
    """Most keys that queries of those layers see; 0 where there are none."""
    windows: tuple[int | None, ...] = ()
    """The same by layer; None where they see all."""

    @staticmethod
    def of(loaded: LoadedModel, windowed: int) -> "CacheSizes":
        """Read the sizes of a model of which some layers keep to a window."""
        sizes = CacheSizes.read(loaded.model.config, loaded.dtype, windowed)
        if not windowed:
            return sizes
        windows = capabilities.layers(loaded).windows
        return replace(sizes, window=max(own or 0 for own in windows), windows=windows)

    @staticmethod
    def read(config: PretrainedConfig, dtype: torch.dtype, windowed: int) -> "CacheSizes":
        """Read the sizes from the configuration of a model that is not loaded."""
        each = layer_sizes(config)
        return CacheSizes(
            layers=len(each),
            windowed=windowed,
            entry_bytes=max((entry_bytes(one, dtype.itemsize) for one in each), default=0),
            by_layer=each,
            number_bytes=dtype.itemsize,
            context=context_of(config),
            window=max((own or 0 for own in windows_of(config)), default=0),
            windows=windows_of(config),
        )


def entry_bytes(layer: LayerSizes, number_bytes: int) -> int:
    """Return the bytes of one entry in all KV heads of a layer, its position included."""
    return layer.kv_heads * (2 * layer.head_size * number_bytes + _POSITION_BYTES)


def _bytes_of_all_layers(megabytes: float, sizes: CacheSizes) -> int:
    """Return the bytes of one entry in all layers that keep to a budget.

    Layers with a window do where it is smaller than what they hold by the model's design.
    """
    each = [entry_bytes(one, sizes.number_bytes) for one in sizes.by_layer]
    each = each or [sizes.entry_bytes] * sizes.layers
    windows = sizes.windows or (None,) * len(each)
    if megabytes * 1e6 < sum(each) * (sizes.window - 1):
        return sum(each)
    if not sizes.windowed:
        return sum(each)
    if sum(own is not None for own in windows) != sizes.windowed:
        return sizes.entry_bytes * max(1, sizes.layers - sizes.windowed)
    whole = [size for size, own in zip(each, windows, strict=True) if own is None]
    return sum(whole) or max(each)


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
