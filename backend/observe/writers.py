"""What each layer adds to the residual stream by its attention, and by its MLP."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tokenarium.backend.models.handed_on import refuse_unless_one_stream
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe.residuals import residuals

Part = Literal["attention", "mlp"]
_NAMES: Mapping[Part, Sequence[tuple[str, ...]]] = {
    "attention": (
        ("self_attn", "attn", "attention", "self_attention"),
        # Gemma 2 and OLMo 2 norm what attention adds.
        ("post_attention_layernorm", "post_self_attn_layernorm"),
    ),
    "mlp": (
        ("mlp", "feed_forward", "block_sparse_moe"),
        ("post_feedforward_layernorm", "post_mlp_layernorm"),
    ),
}
TOLERANCE = 1e-3
"""Largest difference of the sum from what leaves the layer, as a share of the largest number."""


@dataclass(frozen=True)
class Writers:
    """The modules of one layer whose outputs are added to the residual stream."""

    attention: nn.Module
    mlp: nn.Module


def writers(loaded: LoadedModel, ids: Sequence[int]) -> tuple[Writers, ...]:
    """Return by layer what writes into the residual, checked on a text.

    Raises: ValueError where what the modules write does not add up to what leaves the layer.
    """
    refuse_unless_one_stream(loaded, "adding up what layers write")
    found = []
    for choice in range(2):
        chosen = [_chosen(layer, choice) for layer in loaded.layers]
        if all(each is not None for each in chosen):
            found.append(tuple(each for each in chosen if each is not None))
    for candidate in found:
        if _adds_up(loaded, ids, candidate):
            return candidate
    raise ValueError(
        f"what the layers of {loaded.name} add to the residual is not known: choose a model whose "
        "layers add an attention and an MLP, or a method that changes the text, such as occlusion"
    )


@contextmanager
def written(chosen: Sequence[Writers], keep: dict[tuple[Part, int], Tensor]) -> Iterator[None]:
    """Keep what each part of each layer writes, [B, T, D], by part and layer."""

    def hook(part: Part, number: int) -> Any:
        def see(_: nn.Module, __: Any, output: Any) -> None:
            keep[part, number] = output if isinstance(output, Tensor) else output[0]

        return see

    handles = [
        getattr(each, part).register_forward_hook(hook(part, number))
        for number, each in enumerate(chosen)
        for part in _NAMES
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _chosen(layer: nn.Module, choice: int) -> Writers | None:
    parts = {}
    for part, names in _NAMES.items():
        known = [getattr(layer, name) for name in names[choice] if hasattr(layer, name)]
        if not known:
            return None
        parts[part] = known[0]
    return Writers(**parts)


def _adds_up(loaded: LoadedModel, ids: Sequence[int], chosen: Sequence[Writers]) -> bool:
    kept: dict[tuple[Part, int], Tensor] = {}
    stream: dict[int, Tensor] = {}
    tokens = torch.tensor([list(ids)], device=loaded.device)
    with written(chosen, kept), residuals(loaded.layers, stream.__setitem__):
        loaded.body(input_ids=tokens, use_cache=False)
    for number in range(len(chosen)):
        parts = kept.get(("attention", number)), kept.get(("mlp", number))
        if parts[0] is None or parts[1] is None or parts[0].shape != stream[number].shape:
            return False
        total = stream[number] + parts[0] + parts[1].view_as(parts[0])
        off = (total - stream[number + 1]).abs().max()
        if not bool(off <= TOLERANCE * stream[number + 1].abs().max()):
            return False
    return True
