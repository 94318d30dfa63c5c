"""One decoder layer of a head, Llama's or Qwen3's, whose keys and values lie elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PretrainedConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from tokenarium.backend.pretraining.draft_head.target import rotate
from tokenarium.backend.speculation.state_heads.state_head import Attend

Turn = tuple[Tensor, Tensor]
"""Cosines and sines [n, D] of rotary positions."""


def rms_norm(x: Tensor, gain: Tensor, eps: float) -> Tensor:
    """Return x [..., d] over its root mean square, computed in float32, times the gain [d]."""
    return functional.rms_norm(x.float(), x.shape[-1:], None, eps).to(x.dtype) * gain


class Rotary:
    """Angles of positions, as a head's configuration has them."""

    def __init__(self, config: Any, device: torch.device) -> None:
        self._module: Any = LlamaRotaryEmbedding(config).to(device)

    def __call__(self, positions: Tensor, like: Tensor) -> Turn:
        """Return cosines and sines [n, D] of positions [n], in the format of ``like``."""
        cos, sin = self._module(like, positions[None])
        return cos[0], sin[0]


@dataclass(frozen=True)
class DecoderLayer:
    """Attention and a gated MLP, each after a norm and added to what it read."""

    index: int
    config: PretrainedConfig
    weights: Mapping[str, Tensor]
    """Of the head."""
    prefix: str

    def weight(self, name: str) -> Tensor:
        """Return a weight of the layer by its name in the file.

        Raises:
            ValueError: if the file has none.
        """
        return found(self.weights, f"{self.prefix}{name}.weight")

    def project(self, x: Tensor, turn: Turn) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries [1, H, n, D], keys and values [1, G, n, D] of normed inputs [n, d]."""
        cos, sin = turn
        q, k, v = (self._heads(x, part) for part in "qkv")
        return rotate(q, cos, sin).to(x.dtype), rotate(k, cos, sin).to(x.dtype), v

    def _heads(self, x: Tensor, part: str) -> Tensor:
        config: Any = self.config
        y = functional.linear(x, self.weight(f"self_attn.{part}_proj"))
        y = y.unflatten(-1, (-1, config.head_dim))
        if config.model_type == "qwen3" and part != "v":
            y = rms_norm(y, self.weight(f"self_attn.{part}_norm"), config.rms_norm_eps)
        return y.transpose(0, 1)[None]

    def after_attention(self, residual: Tensor, mixed: Tensor) -> Tensor:
        """Return the residual [n, d] after attention's outputs [1, H, n, D] and the MLP."""
        config: Any = self.config
        out = mixed[0].transpose(0, 1).flatten(1)
        x = residual + functional.linear(out, self.weight("self_attn.o_proj"))
        y = rms_norm(x, self.weight("post_attention_layernorm"), config.rms_norm_eps)
        gate, up = (
            functional.linear(y, self.weight(f"mlp.{part}_proj")) for part in ("gate", "up")
        )
        return x + functional.linear(functional.silu(gate) * up, self.weight("mlp.down_proj"))

    def __call__(self, x: Tensor, turn: Turn, attend: Attend, *, last: bool) -> Tensor:
        """Return the residual after the layer [n, d], or of the last row alone [1, d]."""
        config: Any = self.config
        normed = rms_norm(x, self.weight("input_layernorm"), config.rms_norm_eps)
        q, k, v = self.project(normed, turn)
        if last:
            x, q = x[-1:], q[:, :, -1:]
        return self.after_attention(x, attend(self.index, q, k, v))


def found(weights: Mapping[str, Tensor], name: str) -> Tensor:
    """Return a weight of a head by its name.

    Raises:
        ValueError: if the file has none.
    """
    if name not in weights:
        raise ValueError(f"the head has no weight {name}: its file is not complete")
    return weights[name]
