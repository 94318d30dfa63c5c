"""How many tokens a model can read at once, read from its configuration: without torch."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PretrainedConfig

UNLIMITED = 2**31 - 1
"""Context of a model whose configuration names no limit."""

_CONTEXTS = ("max_position_embeddings", "n_positions", "max_seq_len")


def context_of(config: "PretrainedConfig") -> int:
    """Return the most tokens a model of this configuration can read at once."""
    text = config.get_text_config()
    limits = (getattr(text, name, None) for name in _CONTEXTS)
    return next((int(limit) for limit in limits if limit), UNLIMITED)
