"""DFlash heads: a block of masked places is filled in one pass over the target's states."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

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
from tokenarium.backend.speculation.state_heads.state_head import TargetHead

if TYPE_CHECKING:
    from tokenarium.backend.speculation.draft_state import DraftReader


class DFlashHead(TargetHead):
    """The newest token and masked places after it see each other and keys and values made of the
    target's states of the text before (Chen, Liang and Liu, 2026, arXiv:2602.06036).

    Raises:
        ValueError: if there is none for the model, or it has what is not read here.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        files = find_files(loaded, "dflash")
        config, weights = files.config, files.weights
        super().__init__(loaded, files.vocabulary, weights.get("lm_head.weight"))
        self.embedding = weights.get("embed_tokens.weight", self.embedding)
        layer: Any = files.layer
        self.name, self._eps, self._weights = files.name, layer.rms_norm_eps, weights
        self.layers, self._block = layer.num_hidden_layers, int(config["block_size"])
        mask, states = config.get("mask_token_id"), config.get("aux_hidden_state_layer_ids")
        if mask is None or not states:
            raise ValueError(
                f"head {files.name} does not say mask_token_id or aux_hidden_state_layer_ids: add "
                "them to its config.json"
            )
        if not all(0 <= after <= len(loaded.layers) for after in states):
            raise ValueError(
                f"head {files.name} reads states after {', '.join(map(str, states))} layers, and "
                f"the model has {len(loaded.layers)}: choose a head for this model"
            )
        self._mask, self.state_layers = int(mask), tuple(states)
        self._skip = 0 if config.get("sample_from_anchor") else 1
        self._layers = [
            DecoderLayer(index, layer, weights, f"layers.{index}.") for index in range(self.layers)
        ]
        self._rotary = Rotary(layer, loaded.device)

    @property
    def most(self) -> int:
        """Tokens that one block guesses."""
        return self._block - self._skip

    def reader(self, states: Callable[[int], Tensor], capacity: int) -> "DraftReader":
        """Return a reader that keeps keys and values of the text: see ``BlockReader``."""
        from tokenarium.backend.speculation.block_reader import BlockReader

        return BlockReader(self, states, capacity)

    def context(self, states: Tensor, places: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """Return by layer keys and values [1, G, n, D] of the target's states [n, s] at places."""
        fused = functional.linear(states, found(self._weights, "fc.weight"))
        fused = rms_norm(fused, found(self._weights, "hidden_norm.weight"), self._eps)
        turn = self._turn(places, fused)
        return [layer.project(fused, turn)[1:] for layer in self._layers]

    def fill(self, token: int, place: int, context: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Return the logits [most, V] of the tokens after the newest one.

        Args:
            token: the newest of the text, whose state the target does not have yet.
            place: of it.
            context: by layer keys and values [1, G, S, D] of all places before.
        """
        x = self.embedded([token] + [self._mask] * (self._block - 1))
        turn = self._turn(range(place, place + self._block), x)
        for layer, (keys, values) in zip(self._layers, context, strict=True):
            normed = rms_norm(x, layer.weight("input_layernorm"), self._eps)
            q, k, v = layer.project(normed, turn)
            mixed = functional.scaled_dot_product_attention(
                q, torch.cat([keys, k], 2), torch.cat([values, v], 2), enable_gqa=True
            )
            x = layer.after_attention(x, mixed)
        return self.logits(
            rms_norm(x, found(self._weights, "norm.weight"), self._eps)[self._skip :]
        )

    def _turn(self, places: Sequence[int], like: Tensor) -> tuple[Tensor, Tensor]:
        return self._rotary(torch.tensor(list(places), device=like.device), like)
