"""The target as the recipe reads it: fused projections, a cache allocated once, many rows."""

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn import functional

from tokenarium.backend.models.files import weight_files


@dataclass(frozen=True)
class _Layer:
    attention_norm: torch.Tensor  # [d]
    qkv: torch.Tensor  # [(H + 2G) D, d]
    out: torch.Tensor  # [d, H D]
    mlp_norm: torch.Tensor  # [d]
    gate_up: torch.Tensor  # [2 m, d]
    down: torch.Tensor  # [d, m]


@dataclass(frozen=True)
class Cache:
    """``keys`` and ``values`` of every layer, each [B, G, T, D]."""

    keys: list[torch.Tensor]
    values: list[torch.Tensor]

    def row(self, index: int) -> "Cache":
        """A view of one row, [1, G, T, D] in each layer."""
        return Cache(
            [k[index : index + 1] for k in self.keys], [v[index : index + 1] for v in self.values]
        )


class Target:
    """A Llama model for inference alone, faster than a general one at thousands of rows.

    Args:
        config: the model's ``config.json`` as a mapping.
        weights: its state dict, names as in transformers.
    Raises: ValueError if the model is no plain Llama.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        weights: Mapping[str, torch.Tensor],
        device: str = "cpu",
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        _check(config)
        self.config, self.device, self.dtype = dict(config), torch.device(device), dtype
        names = (config.get(key) for key in ("_name_or_path", "_model_name_or_path"))
        self.name = str(next(filter(None, names), ""))
        self.heads = int(config["num_attention_heads"])
        self.groups = int(config["num_key_value_heads"])
        self.width = int(config["hidden_size"])
        self.size = int(config.get("head_dim") or self.width // self.heads)
        self.vocab_size = int(config["vocab_size"])
        self.eps = float(config["rms_norm_eps"])

        def take(*names: str) -> torch.Tensor:
            return torch.cat([weights[f"model.{n}.weight"] for n in names]).to(self.device, dtype)

        self.embedding = take("embed_tokens")  # [V, d]
        self.norm = take("norm")  # [d]
        tied = config.get("tie_word_embeddings", False)
        self.unembedding = (
            self.embedding if tied else weights["lm_head.weight"].to(self.device, dtype)
        )
        self._layers = []
        for index in range(int(config["num_hidden_layers"])):
            attention, mlp = f"layers.{index}.self_attn", f"layers.{index}.mlp"
            self._layers.append(
                _Layer(
                    take(f"layers.{index}.input_layernorm"),
                    take(*(f"{attention}.{part}_proj" for part in "qkv")),
                    take(f"{attention}.o_proj"),
                    take(f"layers.{index}.post_attention_layernorm"),
                    take(f"{mlp}.gate_proj", f"{mlp}.up_proj"),
                    take(f"{mlp}.down_proj"),
                )
            )
        self._cos, self._sin = rotary(
            int(config["max_position_embeddings"]), self.size, rope_theta(config)
        )
        self._cos, self._sin = (x.to(self.device, dtype) for x in (self._cos, self._sin))

    @classmethod
    def load(
        cls, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.bfloat16
    ) -> "Target":
        """Read ``config.json`` and the safetensors of a folder in transformers' format."""
        config = json.loads((folder / "config.json").read_text("utf-8"))
        weights: dict[str, torch.Tensor] = {}
        for file in weight_files(folder):
            weights |= load_file(file)
        return cls(config, weights, device, dtype)

    def new_cache(self, rows: int, length: int) -> Cache:
        shape = (rows, self.groups, length, self.size)

        def empty() -> torch.Tensor:
            return torch.zeros(shape, dtype=self.dtype, device=self.device)

        return Cache([empty() for _ in self._layers], [empty() for _ in self._layers])

    @property
    def layers(self) -> int:
        """How many layers it has."""
        return len(self._layers)

    @torch.inference_mode()
    def read(self, ids: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        """Read ids [B, T] from position 0; return the normed last hidden states [B, T, d]."""
        return self._normed(deque(self._read(ids, cache), 1)[0])

    @torch.inference_mode()
    def read_with(self, ids: torch.Tensor, layers: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what ``read`` does, after the residual [B, T, d] after so many layers."""
        after = list(self._read(ids, None))
        return after[layers - 1], self._normed(after[-1])

    def _normed(self, x: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, (self.width,), self.norm, self.eps)

    def _read(self, ids: torch.Tensor, cache: Cache | None) -> Iterator[torch.Tensor]:
        """Yield the residual [B, T, d] after every layer."""
        length = ids.shape[1]
        x = functional.embedding(ids, self.embedding)
        cos, sin = self._cos[:length], self._sin[:length]
        for index, layer in enumerate(self._layers):
            q, k, v = self._project(layer, x, cos, sin)
            if cache is not None:
                cache.keys[index][:, :, :length], cache.values[index][:, :, :length] = k, v
            repeats = self.heads // self.groups
            mixed = functional.scaled_dot_product_attention(
                q, k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1), is_causal=True
            )
            x = self._finish(layer, x, mixed)
            yield x

    @torch.inference_mode()
    def step(self, ids: torch.Tensor, cache: Cache, position: int | torch.Tensor) -> torch.Tensor:
        """Read one token a row, ids [B], at ``position``: one for all, or one per row [B].

        Returns: [B, d], the normed last hidden state.
        """
        x = functional.embedding(ids[:, None], self.embedding)
        if isinstance(position, int):
            cos, sin = self._cos[position], self._sin[position]
            seen, mask = position + 1, None
        else:
            cos, sin = self._cos[position][:, None, None], self._sin[position][:, None, None]
            seen = cache.keys[0].shape[2]
            mask = (torch.arange(seen, device=self.device) <= position[:, None])[:, None, None]
        rows = torch.arange(len(ids), device=self.device)
        for index, layer in enumerate(self._layers):
            q, k, v = self._project(layer, x, cos, sin)
            keys, values = cache.keys[index], cache.values[index]
            if isinstance(position, int):
                keys[:, :, position], values[:, :, position] = k[:, :, 0], v[:, :, 0]
            else:
                keys[rows, :, position], values[rows, :, position] = k[:, :, 0], v[:, :, 0]
            # Query heads that share a key stand in the place of queries: no key is repeated.
            mixed = functional.scaled_dot_product_attention(
                q.reshape(len(ids), self.groups, -1, self.size),
                keys[:, :, :seen],
                values[:, :, :seen],
                attn_mask=mask,
            )
            x = self._finish(layer, x, mixed.reshape(len(ids), self.heads, 1, self.size))
        return functional.rms_norm(x[:, 0], (self.width,), self.norm, self.eps)

    @torch.inference_mode()
    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits [..., V] in float32 of last hidden states [..., d]."""
        return functional.linear(hidden, self.unembedding).float()

    def _project(
        self, layer: _Layer, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        y = functional.linear(
            functional.rms_norm(x, (self.width,), layer.attention_norm, self.eps), layer.qkv
        )
        y = y.view(*x.shape[:2], -1, self.size).transpose(1, 2)
        turned = rotate(y[:, : self.heads + self.groups], cos, sin)
        return turned[:, : self.heads], turned[:, self.heads :], y[:, self.heads + self.groups :]

    def _finish(self, layer: _Layer, x: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        x = x + functional.linear(mixed.transpose(1, 2).flatten(2), layer.out)
        gate, up = functional.linear(
            functional.rms_norm(x, (self.width,), layer.mlp_norm, self.eps), layer.gate_up
        ).chunk(2, -1)
        return x + functional.linear(functional.silu(gate) * up, layer.down)


def rotary(length: int, size: int, theta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines [length, size] of rotary positions, each angle twice."""
    rates = theta ** -(torch.arange(0, size, 2).float() / size)
    angles = torch.outer(torch.arange(length).float(), rates).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn x [..., T, D] by the angles of its positions (RoPE, halves paired)."""
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin


def rope_theta(config: Mapping[str, Any]) -> float:
    """Base of the rotary angles, wherever this version of the format keeps it."""
    inner = config.get("rope_parameters") or {}
    return float(inner.get("rope_theta") or config.get("rope_theta") or 10_000.0)


def _check(config: Mapping[str, Any]) -> None:
    if config.get("model_type") != "llama":
        raise ValueError(
            f"model_type={config.get('model_type')!r} is not read here, only 'llama': "
            "choose a Llama model as the target"
        )
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = rope.get("rope_type", "default")
    biased = [name for name in ("attention_bias", "mlp_bias") if config.get(name)]
    if kind != "default" or biased:
        raise ValueError(
            f"rope_type={kind!r} and {biased or 'no biases'} are not read here, only 'default' "
            "and no biases: choose a plain Llama model as the target"
        )
