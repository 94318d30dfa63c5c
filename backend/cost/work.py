"""How many bytes a run takes beside the weights, known before it starts.

What dominates is counted term by term; constants are generous, so that the true peak stays below.
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PretrainedConfig

from tokenarium.backend.models.interface import implementation_of
from tokenarium.backend.models.layer_kinds import layer_sizes
from tokenarium.backend.observe import NAME
from tokenarium.backend.observe.kept_attention import MOST_BYTES as KEPT_BYTES
from tokenarium.backend.runs.progress import PARTIAL_BYTES

STREAM_BYTES = 1 << 30
"""Residual streams held at once; where those of all layers are larger, a text is read twice."""

_OVERHEAD_BYTES = 128 * 2**20  # also what libraries prepare for shapes they have not met
_LOGITS = 1 << 24
_ROWS = range(32, 257)  # rows of logits at once, six float32 copies of each
_PANEL_ROWS, _PANEL_WEIGHTS = 128, 1 << 20  # of attention weights, five float32 copies of each
_MASK = 24  # a mask in float32, copies of it, and booleans where it hides
_JOBS = 8  # jobs per key-value group, each with sums of its own


@dataclass(frozen=True)
class Sizes:
    """The sizes of a model that its memory depends on; the largest where layers differ."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    inner: int
    vocabulary: int
    pair: int = 0
    """Bytes for each query and key together, in a model that masks its logits itself."""

    @staticmethod
    def of(config: PretrainedConfig) -> "Sizes":
        """Read the sizes from a configuration."""
        text = config.get_text_config()
        hidden = int(text.hidden_size)
        attention = layer_sizes(config)
        return Sizes(
            hidden=hidden,
            layers=int(text.num_hidden_layers),
            heads=max((one.heads for one in attention), default=1),
            kv_heads=max((one.kv_heads for one in attention), default=1),
            head_size=max((one.head_size for one in attention), default=1),
            inner=_largest(text, "intermediate_size", 4 * hidden),
            vocabulary=int(text.vocab_size),
            pair=_bytes_of_pair(config),
        )


@dataclass(frozen=True)
class Choices:
    """What of a request decides its memory; the defaults are those of a trace."""

    tiles: int = 64
    top_k: int = 10
    factors: int = 4
    lens: bool = True


@dataclass(frozen=True)
class Bytes:
    """Bytes as a function of tokens; ``capped`` holds (bytes per token, most bytes)."""

    fixed: int
    per_token: int
    capped: tuple[tuple[int, int], ...] = ()
    per_pair: int = 0
    """Bytes per token and token."""

    def total(self, tokens: int) -> int:
        """Return the bytes for a text of ``tokens`` tokens."""
        capped = sum(min(tokens * rate, most) for rate, most in self.capped)
        return self.fixed + tokens * self.per_token + capped + tokens**2 * self.per_pair

    def __add__(self, other: "Bytes") -> "Bytes":
        return Bytes(
            self.fixed + other.fixed,
            self.per_token + other.per_token,
            self.capped + other.capped,
            self.per_pair + other.per_pair,
        )

    def most_tokens(self, free: int, below: int) -> int:
        """Return the largest number of tokens under ``below`` whose total fits, or 0."""
        low, high = 0, below
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.total(middle) <= free else (low, middle)
        return low


def on_device(sizes: Sizes, dtype: torch.dtype, choices: Choices, device: torch.device) -> Bytes:
    """Bytes where the model computes: one layer at work, streams, queries and keys, logits.

    Attention on a CPU holds a few panels of weights per worker; elsewhere its kernel holds none.
    """
    s, d = dtype.itemsize, sizes.head_size
    projected = (sizes.heads + 2 * sizes.kv_heads) * d
    layer = s * (6 * sizes.hidden + 3 * sizes.inner + 3 * projected)
    floats = 4 * (2 * sizes.heads * d + 2 * sizes.kv_heads * d)
    sums = 4 * sizes.heads * (choices.tiles + _JOBS * (2 + choices.factors))
    rows = min(max(_LOGITS // sizes.vocabulary, _ROWS.start), _ROWS.stop - 1)
    workers = 0
    if device.type == "cpu":
        workers = min(torch.get_num_threads(), _JOBS * sizes.kv_heads)
    streams = s * sizes.hidden * ((sizes.layers + 1) if choices.lens else 1)
    return Bytes(
        fixed=_OVERHEAD_BYTES + rows * sizes.vocabulary * 24 + workers * _PANEL_WEIGHTS * 20,
        per_token=layer + floats + sums + workers * _PANEL_ROWS * 20 + 2 * s * sizes.hidden,
        capped=(
            (streams, STREAM_BYTES),
            (s * sizes.layers * (sizes.heads + sizes.kv_heads) * d, KEPT_BYTES),
        ),
        per_pair=sizes.pair,
    )


def of_result(sizes: Sizes, choices: Choices) -> Bytes:
    """Bytes of a trace's result in main memory, its stored copy, and two unfinished ones."""
    layers, heads = sizes.layers, sizes.heads
    per_head = 4 * (4 + choices.factors)
    per_stream = 4 * (2 + 2 * 3) + (12 if choices.lens else 0)
    arrays = layers * (heads * per_head + 8 * sizes.kv_heads) + (layers + 1) * per_stream
    arrays += 16 + 8 * choices.top_k
    maps = layers * heads * (8 * choices.tiles**2 + 128)
    # Python objects: ids, texts and offsets, and a reference per alternative and per lens entry.
    texts = 512 + 8 * choices.top_k + (8 * (layers + 1) if choices.lens else 0)
    copies = ((arrays + texts, PARTIAL_BYTES),) * 2
    return Bytes(fixed=2 * maps, per_token=2 * arrays + texts, capped=copies)


def _bytes_of_pair(config: PretrainedConfig) -> int:
    """Return what a model that masks its logits itself holds of each query and key."""
    given: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if given is None or implementation_of(given) == NAME:
        return 0
    heads = int(config.num_attention_heads) if getattr(config, "alibi", False) else 0  # Falcon
    return _MASK + 12 * heads


def _largest(config: PretrainedConfig, name: str, otherwise: int) -> int:
    """Return a size from a configuration; some give a list, one per layer."""
    if getattr(config, "is_heterogeneous", False):
        return max(_largest(one, name, otherwise) for one in config.per_layer_config)
    value = getattr(config, name, None)
    return int(max(value) if isinstance(value, list | tuple) else value or otherwise)
