"""Which layers see a window of their latest tokens only, going by the configuration alone."""

from transformers import PretrainedConfig

from tokenarium.backend.models.layer_kinds import (
    SLIDING_ATTENTION,
    attention_layers,
    layer_kinds,
)


def windows_of(config: PretrainedConfig) -> tuple[int | None, ...]:
    """Return the most keys a query sees by the model's design, for every layer that attends.

    None where it sees all.
    """
    text, layers = config.get_text_config(), attention_layers(config)
    window = getattr(text, "sliding_window", None)
    if hasattr(text, "attention_layers"):
        window = getattr(text, "window_size", None)  # GPT-Neo
    if not window or not getattr(text, "use_sliding_window", True):
        return (None,) * len(layers)
    kinds = layer_kinds(config)
    if not getattr(text, "layer_types", None) and SLIDING_ATTENTION not in kinds:
        kinds = (SLIDING_ATTENTION,) * len(kinds)
    return tuple(int(window) if kinds[at] == SLIDING_ATTENTION else None for at in layers)
