"""Models that read images beside text: which class reads their text, and what is said of it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils.import_utils import is_timm_available

from tokenarium.backend.models.files import tensor_names

TEXT_KEYS: Mapping[str, str] = {r"^model\.language_model\.": "model."}
"""From what holds the text part of a whole model to its name in a model of text alone."""
_TEXT_PART = "model.language_model."


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


def text_alone(config: PretrainedConfig) -> PretrainedConfig | None:
    """Return the configuration of the text part, where the whole cannot be built here.

    That is a model whose eyes are of the package timm, when that is not installed.
    """
    text = config.get_text_config()
    eyes = getattr(getattr(config, "vision_config", None), "model_type", None)
    needs_timm = eyes in ("timm_wrapper", "gemma3n_vision") and not is_timm_available()
    causal = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(text), None) is not None
    return text if needs_timm and causal and text is not config else None


def of_text(names: Iterable[str], folder: Path) -> list[str]:
    """Return those of the tensors that a file has beyond a model of text which belong to its text.

    Args:
        names: with the text part's names as ``TEXT_KEYS`` changes them.
        folder: of the whole model.
    """
    own = {
        f"model.{each.removeprefix(_TEXT_PART)}"
        for each in tensor_names(folder)
        if each.startswith(_TEXT_PART)
    }
    return [each for each in names if each in own or not each.startswith("model.")]
