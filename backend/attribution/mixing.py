"""How far each token of a text mixes into each other, layer by layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tokenarium.backend.attribution.game import Game
from tokenarium.backend.attribution.reader import ZeroingValues
from tokenarium.backend.models.handed_on import refuse_unless_one_stream
from tokenarium.backend.observe import AttentionCall, Recorder, plain_attention, recording
from tokenarium.kernels.attention_stats import attention_rows

BATCH_TOKENS = 1024
QUERIES = 256


def rolled_out(layers: Sequence[Tensor]) -> NDArray[np.float64]:
    """Return [T] the last row of the product of [T, T] matrices, the last layer's on the left."""
    row = layers[-1][-1]
    for each in reversed(layers[:-1]):
        row = row @ each
    found: NDArray[np.float64] = row.numpy()
    return found


class _Weights(Recorder):
    def __init__(self, heads: str) -> None:
        super().__init__()
        self._heads = heads
        self.found: list[Tensor] = []

    def attend(self, call: AttentionCall) -> Tensor:
        """Keep the weights of all heads, put together."""
        whole = torch.zeros(call.q.shape[2], call.k.shape[2], dtype=torch.float64)
        for rows in attention_rows(call.inputs(), QUERIES):
            weights = rows.weights.double()
            joined = weights.mean(0) if self._heads == "mean" else weights.amax(0)
            whole[rows.start : rows.stop, : joined.shape[-1]] = joined.cpu()
        self.found.append(whole)
        return plain_attention(call)


def attention_by_layer(game: Game, heads: str) -> list[Tensor]:
    """Return by layer that attends its weights [T, T], the mean or the maximum over heads.

    Raises: ValueError where no layer attends.
    """
    recorder = _Weights(heads)
    game.report("attention", 0, 1)
    with recording(recorder):
        _read(game)
    _refuse_without(game, recorder)
    return recorder.found


def mixing_by_layer(game: Game) -> list[Tensor]:
    """Return by layer C [T, T]: how far token i's state turns without the value of token j.

    Cosine distances of the states after the layer, each row divided by its sum.

    Raises: ValueError where no layer attends.
    """
    loaded, given = game.loaded, []
    refuse_unless_one_stream(loaded, "reading one layer again with values left out")

    def keep(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        given.append((args, named))

    handles = [layer.register_forward_pre_hook(keep, with_kwargs=True) for layer in loaded.layers]
    recorder = Recorder()
    try:
        with recording(recorder):
            _read(game)
    finally:
        for handle in handles:
            handle.remove()
    _refuse_without(game, recorder)
    found = []
    for number, (layer, (args, named)) in enumerate(zip(loaded.layers, given, strict=True)):
        game.report("layers", number, len(given))
        found.append(_mixing(layer, args, named, len(game.ids)))
    game.reader.passes += len(game.ids)
    game.reader.token_steps += len(game.ids) ** 2
    return found


def _mixing(layer: nn.Module, args: tuple[Any, ...], named: dict[str, Any], length: int) -> Tensor:
    def states(hidden: Tensor) -> Tensor:
        if args:
            output = layer(hidden, *args[1:], **named)
        else:
            output = layer(**{**named, "hidden_states": hidden})
        found: Tensor = output if isinstance(output, Tensor) else output[0]
        return found.double()

    hidden = args[0] if args else named["hidden_states"]
    whole = states(hidden)
    turned = torch.zeros(length, length, dtype=torch.float64)
    every = torch.eye(length, dtype=torch.bool, device=hidden.device)
    for zeroed in every.split(max(1, BATCH_TOKENS // length)):
        with recording(ZeroingValues(zeroed)):
            changed = states(hidden.expand(len(zeroed), -1, -1))
        alike = torch.cosine_similarity(changed, whole, dim=-1)
        turned[:, zeroed.any(0).cpu()] = (1 - alike).clamp(min=0).T.cpu()
    total = turned.sum(-1, keepdim=True)
    # A layer that mixes nothing leaves each token what it was.
    return torch.where(total > 0, turned / total, torch.eye(length, dtype=torch.float64))


def _read(game: Game) -> None:
    tokens = torch.tensor([game.ids], device=game.loaded.device)
    game.loaded.body(input_ids=tokens, use_cache=False)
    game.reader.passes += 1
    game.reader.token_steps += len(game.ids)


def _refuse_without(game: Game, recorder: Recorder) -> None:
    if not recorder.order:
        raise ValueError(
            f"no layer of {game.loaded.name} attends to earlier tokens: choose method=occlusion, "
            "which needs none that does"
        )
