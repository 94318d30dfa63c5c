"""Which layers see a window of their latest tokens only, going by the configuration alone."""

from transformers import PretrainedConfig


def windows_of(config: PretrainedConfig) -> tuple[int | None, ...]:
    """Return by layer the most keys a query sees by the model's design; None where all."""
    text = config.get_text_config()
    layers = int(text.num_hidden_layers)
    window = getattr(text, "sliding_window", None)
    if not window or not getattr(text, "use_sliding_window", True):
        return (None,) * layers
    kinds = getattr(text, "layer_types", None) or ["sliding_attention"] * layers
    return tuple(int(window) if kind == "sliding_attention" else None for kind in kinds)
