"""What transformers' own eager attention computes for a prompt, layer by layer."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel


@dataclass(frozen=True)
class EagerLayer:
    """H query heads, G KV heads, T tokens."""

    attention: Tensor
    """[H, T, T]."""
    keys: Tensor
    """[G, T, D], after rotation."""
    values: Tensor
    """[G, T, D]."""
    queries: Tensor
    """[H, T, D], before rotation."""

    def grouped(self, per_query_head: Tensor) -> Tensor:
        """Mean over the query heads of each KV head: [H, ...] to [G, ...]."""
        groups = len(self.keys)
        return torch.stack([part.mean(0) for part in per_query_head.chunk(groups)])


def eager_layers(model: PreTrainedModel, ids: list[int]) -> list[EagerLayer]:
    """Read a prompt with a model of separate query projections, such as a Llama."""
    found: list[Tensor] = []
    hooks = [
        layer.self_attn.q_proj.register_forward_hook(lambda _, __, out: found.append(out[0]))
        for layer in model.model.layers
    ]
    cache = DynamicCache()
    with torch.inference_mode():
        run = model(torch.tensor([ids]), output_attentions=True, past_key_values=cache)
    for hook in hooks:
        hook.remove()
    return [
        EagerLayer(attention[0], own.keys[0], own.values[0], _by_head(query, attention.shape[1]))
        for attention, own, query in zip(run.attentions, cache.layers, found, strict=True)
    ]


def _by_head(queries: Tensor, heads: int) -> Tensor:
    """[T, H D] to [H, T, D]."""
    return queries.view(len(queries), heads, -1).transpose(0, 1)


def best(scores: Tensor, count: int, always: Tensor | None = None) -> list[int]:
    """The ascending positions of the highest of [T] scores, ``always`` [T] bool first."""
    own = scores.double().clone()
    if always is not None:
        own[always] = torch.inf
    return sorted(sorted(range(len(own)), key=lambda i: (-float(own[i]), i))[:count])
