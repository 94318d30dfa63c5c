"""Multi-token prediction: one more layer of the target's kind over its final state."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.state_heads.decoder_layer import (
    DecoderLayer,
    Rotary,
    rms_norm,
)
from tokenarium.backend.speculation.state_heads.speculators import find_files
from tokenarium.backend.speculation.state_heads.state_head import Attend, StateHead


class MTPHead(StateHead):
    """[norm e(t), norm state] is projected to one state, goes through a layer and a norm, and the
    target's own unembedding says the token; the next guess reads the output in the state's place
    (DeepSeek-AI, 2024, arXiv:2412.19437).

    Raises:
        ValueError: if there is none for the model, or it has what is not read here.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        files = find_files(loaded, "mtp")
        many = int(files.config.get("num_nextn_predict_layers", 1))
        if many != 1:
            raise ValueError(
                f"head {files.name} has num_nextn_predict_layers={many}: 1 is read here"
            )
        super().__init__(loaded)
        layer: Any = files.layer
        self.name, self._eps = files.name, layer.rms_norm_eps
        self._layer = DecoderLayer(0, layer, files.weights, "mtp_layers.0.")
        self._rotary = Rotary(layer, loaded.device)

    def guess(
        self,
        hidden: Tensor,
        ids: Sequence[int],
        places: Sequence[int],
        attend: Attend,
        *,
        drafted: bool,  # noqa: ARG002 - guesses stand for states
        last: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return the normed states after the head, twice: they are read and unembedded alike."""
        layer = self._layer
        token = rms_norm(self.embedded(ids), layer.weight("token_layernorm"), self._eps)
        state = rms_norm(hidden, layer.weight("hidden_layernorm"), self._eps)
        x = functional.linear(torch.cat([token, state], -1), layer.weight("input_proj"))
        turn = self._rotary(torch.tensor(list(places), device=x.device), x)
        x = layer(x, turn, attend, last=last)
        out = rms_norm(x, layer.weight("final_layernorm"), self._eps)
        return out, out
