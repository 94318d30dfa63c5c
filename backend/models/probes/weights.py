"""Whether the weights of a model are numbers, and what of them may be infinite."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tokenarium.backend.models.loaded import LoadedModel


def why_not_numbers(loaded: LoadedModel) -> str | None:
    """Return which weight holds NaN or infinity, and what to do; None where none does.

    Minus infinity in a vector is no reason: as a bias it says "never" to a padded row of the
    vocabulary, and as a learned sink it takes no share. A trial run shows what it does.
    """
    for name, weights in _floating(loaded.model):
        low, high = torch.aminmax(weights)
        if bool(torch.isfinite(low) & torch.isfinite(high)):
            continue
        if weights.dim() == 1 and bool(torch.isfinite(high)):
            continue
        return _words(name, weights)
    return None


def minus_infinities(loaded: LoadedModel) -> list[str]:
    """Return the names of vectors that hold minus infinity."""
    found = ((name, weights) for name, weights in _floating(loaded.model) if weights.dim() == 1)
    return [name for name, weights in found if bool(torch.isneginf(weights).any())]


def padded_rows(model: PreTrainedModel) -> int:
    """Return how many entries of the vocabulary have a bias of minus infinity on their logit."""
    bias = getattr(model.get_output_embeddings(), "bias", None)
    return int(torch.isneginf(bias).sum()) if isinstance(bias, Tensor) else 0


def _floating(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    # Of buffers, some are infinite by design: bounds of the activations of Gemma 4's audio part.
    for name, weights in model.named_parameters():
        if weights.is_floating_point() and weights.numel():
            # aminmax has no kernel for numbers of one byte.
            yield name, weights.float() if weights.element_size() == 1 else weights


def _words(name: str, weights: Tensor) -> str:
    dtype, count = weights.dtype, weights.numel()
    if unknown := int(torch.isnan(weights).sum()):
        return (
            f"its weight {name} holds NaN in {unknown:,} of {count:,} numbers, so that the file is "
            "damaged or its training failed: download it again, or choose another model"
        )
    infinite = int(torch.isinf(weights).sum())
    if dtype == torch.float16:
        return (
            f"its weight {name} has {infinite:,} of {count:,} numbers that float16 cannot hold "
            f"(above {torch.finfo(dtype).max:,.0f}): choose dtype=bfloat16 or float32"
        )
    return (
        f"its weight {name} is infinite in {infinite:,} of {count:,} numbers, so that the file is "
        "damaged or its training failed: download it again, or choose another model"
    )
