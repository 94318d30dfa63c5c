"""Quantised weights: which are read, what that needs, and what is said of them; without torch."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokenarium.backend.models.files import read_object
from tokenarium.backend.models.refusal import ModelRefused

NEEDS = {
    "mxfp4": (),
    "fp8": ("accelerate",),
    "bitsandbytes": ("accelerate", "bitsandbytes"),
    "compressed-tensors": ("accelerate", "compressed_tensors"),
    "gptq": ("accelerate", "optimum", "gptqmodel"),
    "awq": ("accelerate", "gptqmodel"),
}
"""By method, as config.json names it, the packages with which transformers reads it."""
DEQUANTISED = ("mxfp4", "fp8", "bitsandbytes", "compressed-tensors")
"""Those whose weights become plain ones at loading; the others stay as they are."""


def quantisation(config: dict[str, Any], name: str) -> str | None:
    """Return the method with which weights are quantised; None where they are not.

    Args:
        config: what config.json holds.
        name: of the model.
    Raises:
        ModelRefused: if the field is damaged, or the method is not read here.
    """
    given = config.get("quantization_config") or {}
    if not isinstance(given, dict):
        raise ModelRefused(
            f"{name} has a config.json whose quantization_config is a {type(given).__name__} "
            "and no object: correct the field, or download the model again"
        )
    method = given.get("quant_method")
    if method is None and any(given.get(f"load_in_{bits}bit") for bits in (4, 8)):
        method = "bitsandbytes"  # files of 2023 name no method
    if not given:
        return None
    if not isinstance(method, str) or method not in NEEDS:
        which = "a method that config.json does not name" if method is None else f"{method!s:.40}"
        raise ModelRefused(
            f"{name} has weights quantised with {which}, which is not read here: choose "
            f"the version that is not quantised, or one quantised with {', '.join(NEEDS)}"
        )
    return method


def refuse_unless_readable(method: str, name: str) -> None:
    """Refuse weights that transformers cannot read with what is installed.

    Raises:
        ModelRefused: naming the packages that are missing.
    """
    missing = [package for package in NEEDS[method] if find_spec(package) is None]
    if missing:
        wanted = " ".join(package.replace("_", "-") for package in missing)
        raise ModelRefused(
            f"{name} has weights quantised with {method}, which transformers reads with "
            f"{' and '.join(missing)}: run 'pip install {wanted}' and start again, or choose the "
            "version that is not quantised"
        )


def weights_in_words(folder: Path | None) -> str:
    """Return in words what the weights in a folder are; nothing where they are plain ones."""
    if folder is None:
        return ""
    try:
        method = quantisation(read_object(folder / "config.json"), folder.name)
    except ModelRefused:
        return ""
    if method is None:
        return ""
    return f"quantised with {method}" + (", dequantised" if method in DEQUANTISED else "")
