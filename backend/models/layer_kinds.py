"""What the layers of a model are and how large, going by the configuration alone."""

from dataclasses import dataclass

from transformers import PretrainedConfig

FULL_ATTENTION = "full_attention"
SLIDING_ATTENTION = "sliding_attention"
_OTHER_WORDS = {"global": FULL_ATTENTION, "local": SLIDING_ATTENTION}  # GPT-Neo
_WITHOUT_ATTENTION = {"linear_attention", "mamba", "recurrent", "conv", "moe", "mlp"}
_WITH_STATE = (_WITHOUT_ATTENTION - {"moe", "mlp"}) | {"hybrid", "hybrid_sliding"}


@dataclass(frozen=True)
class LayerSizes:
    """The attention of one layer."""

    heads: int
    """Query heads."""
    kv_heads: int
    """Key-value heads."""
    head_size: int
    """Numbers in a key."""


def layer_kinds(config: PretrainedConfig) -> tuple[str, ...]:
    """Return by layer what it is, in transformers' words, such as ``linear_attention``."""
    text = config.get_text_config()
    count = int(text.num_hidden_layers)
    for name in ("layer_types", "layers_block_type", "attention_layers"):
        kinds = getattr(text, name, None)
        if isinstance(kinds, list | tuple) and len(kinds) == count:
            return tuple(_OTHER_WORDS.get(kind, str(kind)) for kind in kinds)
    return (FULL_ATTENTION,) * count


def attention_layers(config: PretrainedConfig) -> tuple[int, ...]:
    """Return the layers that attend to earlier tokens."""
    kinds = enumerate(layer_kinds(config))
    return tuple(layer for layer, kind in kinds if kind not in _WITHOUT_ATTENTION)


def state_kinds(config: PretrainedConfig) -> tuple[str, ...]:
    """Return which kinds of layers sum the text up in a state, which cannot go back a token."""
    return tuple(sorted(set(layer_kinds(config)) & _WITH_STATE))


def layer_sizes(config: PretrainedConfig) -> tuple[LayerSizes, ...]:
    """Return the sizes of every layer that attends, in order."""
    text = config.get_text_config()
    layers = attention_layers(config)
    if getattr(text, "is_heterogeneous", False):  # Gemma 4: a configuration for each layer
        return tuple(_sizes_of(text.per_layer_config[layer], layer) for layer in layers)
    return tuple(_sizes_of(text, layer) for layer in layers)


def _sizes_of(config: PretrainedConfig, layer: int) -> LayerSizes:
    heads = _size(config, "num_attention_heads", layer, 1)
    shared = getattr(config, "multi_query", False)
    shared = shared and not getattr(config, "new_decoder_architecture", False)  # Falcon
    return LayerSizes(
        heads=heads,
        kv_heads=_size(config, "num_key_value_heads", layer, 1 if shared else heads),
        head_size=_size(config, "head_dim", layer, int(config.hidden_size) // heads),
    )


def _size(config: PretrainedConfig, name: str, layer: int, otherwise: int) -> int:
    """Return a size from a configuration; some give a list, one per layer."""
    value = getattr(config, name, None)
    if isinstance(value, list | tuple):
        value = value[layer] if layer < len(value) else max(value)
    return int(value or otherwise)
