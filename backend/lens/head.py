"""The unembedding in bfloat16, where that is faster."""

import torch
from torch import Tensor, nn

from tokenarium.backend.models.loaded import LoadedModel


def bfloat16_is_faster(loaded: LoadedModel) -> bool:
    """Return whether this processor multiplies bfloat16 in instructions of its own.

    Weights of 2 bytes are also read in half the time, but without them every product is made of
    several float32 ones. Decided by the processor, not by a stopwatch: the same question has the
    same answer every time.
    """
    head = loaded.model.get_output_embeddings()
    if loaded.device.type != "cpu" or loaded.dtype != torch.float32 or type(head) is not nn.Linear:
        return False
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in known)


class Head:
    """Final norm and unembedding, with a second copy of its weights in bfloat16 where wanted.

    The embedding keeps its own, also where both are one matrix; nobody else uses the model
    meanwhile.

    Args:
        loaded: the model.
        rounded: whether there is a copy in bfloat16.
    """

    def __init__(self, loaded: LoadedModel, *, rounded: bool) -> None:
        self._loaded = loaded
        self._head = loaded.model.get_output_embeddings()
        self._rounded = (
            {
                name: nn.Parameter(weights.to(torch.bfloat16), requires_grad=False)
                for name, weights in self._head.named_parameters(recurse=False)
            }
            if rounded
            else {}
        )

    def logits(self, stream: Tensor, *, exact: bool = False) -> Tensor:
        """Return logits [R, V] of residual streams [R, D], in the products' format.

        ``exact`` uses no copy.
        """
        norm = self._loaded.final_norm
        hidden = stream if norm is None else norm(stream)
        if exact or not self._rounded:
            return self._loaded.unembed(hidden)
        kept = dict(self._head.named_parameters(recurse=False))
        try:
            for name, weights in self._rounded.items():
                setattr(self._head, name, weights)
            return self._loaded.unembed(hidden.to(torch.bfloat16))
        finally:
            for name, weights in kept.items():
                setattr(self._head, name, weights)
