"""Reading quantised weights through transformers: made plain numbers wherever it can."""

from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils.quantization_config import (
    CompressedTensorsConfig,
    FineGrainedFP8Config,
    Mxfp4Config,
)

from tokenarium.backend.models.image_text import auto_class
from tokenarium.backend.models.quantised import DEQUANTISED
from tokenarium.backend.models.refusal import ModelRefused


def how_to_read(method: str, device: torch.device) -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` that read weights quantised with a method."""
    if method == "mxfp4":
        return {"quantization_config": Mxfp4Config(dequantize=True)}
    if method == "fp8":
        return {"quantization_config": FineGrainedFP8Config(dequantize=True)}
    if method == "compressed-tensors":
        return {"quantization_config": CompressedTensorsConfig(dequantize=True)}
    return {"device_map": {"": str(device)}}


def make_plain(
    model: PreTrainedModel, method: str, dtype: torch.dtype, device: torch.device
) -> None:
    """Give a model that was just read plain weights in ``dtype`` where that is possible."""
    if method == "bitsandbytes":
        if device.type == "cpu":
            _refuse_broken_blocks(model)
        model.dequantize()
    if method in DEQUANTISED:  # the kernels of others have formats and places of their own
        model.to(device=device, dtype=dtype)  # type: ignore[call-arg]


def _refuse_broken_blocks(model: PreTrainedModel) -> None:
    """Refuse rows that are no multiple of a block: unpacked on a CPU (0.50) they come out wrong.

    Raises:
        ModelRefused: naming a layer.
    """
    for name, module in model.named_modules():
        packing = getattr(getattr(module, "weight", None), "quant_state", None)
        if packing is not None and packing.shape[-1] % packing.blocksize:
            raise ModelRefused(
                f"{name} has rows of {packing.shape[-1]} numbers, which bitsandbytes unpacks "
                f"wrongly on a CPU in blocks of {packing.blocksize}: choose the version that is "
                "not quantised"
            )


def count_plain(config: PretrainedConfig) -> int:
    """Return how many parameters a model has once its weights are no longer packed."""
    with torch.device("meta"):
        planned = auto_class(config).from_config(config)
    return sum(weights.numel() for weights in planned.parameters())
