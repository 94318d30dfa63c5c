"""Models that read images beside text: which class reads their text, and what is said of it."""

from typing import Any

from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PretrainedConfig,
    PreTrainedModel,
)


def image_text_class(config: PretrainedConfig) -> type[PreTrainedModel] | None:
    """Return the class of a decoder that also reads images; None for everything else."""
    if getattr(config, "is_encoder_decoder", False):
        return None
    classes: Any = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    found: type[PreTrainedModel] | None = classes.get(type(config), None)
    return found


def auto_class(config: PretrainedConfig) -> Any:
    """Return the class of transformers' that loads a model which predicts the next token."""
    causal = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None) is not None
    return AutoModelForCausalLM if causal else AutoModelForImageTextToText


def image_text_note(config: PretrainedConfig) -> tuple[str, ...]:
    """Say of a model that reads images or sound too that only its text part is used."""
    if config.get_text_config() is config:
        return ()
    return ("an image-and-text model: its text part alone is read, images are not seen",)
