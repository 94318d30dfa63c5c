"""Models that are made for something else than predicting the next token from those before."""

from transformers import PretrainedConfig

from tokenarium.backend.models.layer_kinds import attention_layers
from tokenarium.backend.models.refusal import ModelRefused


def refuse_other_kinds(config: PretrainedConfig, name: str) -> None:
    """Refuse what the configuration says to be no decoder with attention.

    Raises:
        ModelRefused: saying what it is.
    """
    what, remedy = _what(config), "choose a decoder, such as llama, qwen3, gemma3, gpt2 or gpt_neox"
    if what:
        raise ModelRefused(f"{name} is of type {config.model_type!r}, {what}: {remedy}")


def _what(config: PretrainedConfig) -> str | None:
    encoder = any(hasattr(config, name) for name in ("encoder_layers", "num_encoder_layers"))
    if encoder or getattr(config, "is_encoder_decoder", False):
        return "which is a decoder that also reads what an encoder made of another text"
    if getattr(config, "is_decoder", True) is False and hasattr(config, "add_cross_attention"):
        return "which is an encoder, made to read both sides of a token"
    if getattr(config.get_text_config(), "cross_attention_layers", None):
        return "some of whose layers read an image and are left out without one"
    if not attention_layers(config):
        return "which has no attention: its layers sum the text up in a state"
    return None
