"""EAGLE-3 heads: a layer over states of several depths of the target and the next token."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.state_heads.decoder_layer import (
    DecoderLayer,
    Rotary,
    found,
    rms_norm,
)
from tokenarium.backend.speculation.state_heads.speculators import find_files
from tokenarium.backend.speculation.state_heads.state_head import Attend, StateHead


class Eagle3Head(StateHead):
    """States after three layers, side by side, are projected to one; later guesses read the head's
    own output in its place. Its first layer attends with [norm e(t), norm state] of width 2 d (Li
    et al., 2025, arXiv:2503.01840).

    Raises:
        ValueError: if there is none for the model, or it has what is not read here.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        files = find_files(loaded, "eagle3")
        weights, config = files.weights, files.config
        super().__init__(loaded, files.vocabulary, weights.get("lm_head.weight"))
        self.name, self._weights, self._config = files.name, weights, config
        self.embedding = weights.get("embed_tokens.weight", self.embedding)
        layer: Any = files.layer
        self.layers, self._eps = layer.num_hidden_layers, layer.rms_norm_eps
        self._layers = [
            DecoderLayer(index, layer, weights, f"layers.{index}.") for index in range(self.layers)
        ]
        self._rotary = Rotary(layer, loaded.device)
        self.state_layers = _state_layers(config, len(loaded.layers))

    def guess(
        self,
        hidden: Tensor,
        ids: Sequence[int],
        places: Sequence[int],
        attend: Attend,
        *,
        drafted: bool,
        last: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return the residual after the head, which a chain reads on, and its norm."""
        x = hidden if drafted else self._fused(hidden)
        # The row stands where its token does, one after the state.
        at = torch.tensor(list(places), device=x.device) + 1
        turn = self._rotary(at, x)
        x = self._first(x, self.embedded(ids), turn, attend, last=last and self.layers == 1)
        for layer in self._layers[1:]:
            x = layer(x, turn, attend, last=last and layer.index == self.layers - 1)
        out = rms_norm(x, found(self._weights, "norm.weight"), self._eps)
        return (out if self._config.get("norm_output") else x), out

    def _fused(self, states: Tensor) -> Tensor:
        """Return what stands for states [n, k d] side by side [n, d]."""
        weights, eps = self._weights, self._eps
        if self._config.get("norm_before_fc"):
            states = rms_norm(states, found(weights, "input_norm.weight"), eps)
        if self._config.get("fc_norm"):
            parts = states.chunk(len(self.state_layers), -1)
            gains = [found(weights, f"fc_norm.{place}.weight") for place in range(len(parts))]
            states = torch.cat(
                [rms_norm(part, gain, eps) for part, gain in zip(parts, gains, strict=True)], -1
            )
        return functional.linear(states, found(weights, "fc.weight"))

    def _first(
        self,
        x: Tensor,
        embedded: Tensor,
        turn: tuple[Tensor, Tensor],
        attend: Attend,
        *,
        last: bool,
    ) -> Tensor:
        layer = self._layers[0]
        normed = rms_norm(x, layer.weight("hidden_norm"), self._eps)
        beside = rms_norm(embedded, layer.weight("input_layernorm"), self._eps)
        residual = normed if self._config.get("norm_before_residual") else x
        q, k, v = layer.project(torch.cat([beside, normed], -1), turn)
        if last:
            residual, q = residual[-1:], q[:, :, -1:]
        return layer.after_attention(residual, attend(0, q, k, v))


def _state_layers(config: dict[str, Any], count: int) -> tuple[int, ...]:
    """Return after how many of the target's ``count`` layers states are read."""
    asked = config.get("eagle_aux_hidden_state_layer_ids")
    found_layers = tuple(asked) if asked else (2, count // 2, count - 3)
    if not all(0 <= layer <= count for layer in found_layers):
        raise ValueError(
            f"the head reads states after {', '.join(map(str, found_layers))} layers, and the "
            f"model has {count}: choose a head for this model"
        )
    return found_layers
