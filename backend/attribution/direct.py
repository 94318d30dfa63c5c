"""A logit split into what heads and MLPs wrote into the residual stream at the last position."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from tokenarium.backend.attribution.game import Game
from tokenarium.backend.observe import AttentionCall, Recorder, plain_attention, recording
from tokenarium.backend.observe.residuals import residuals
from tokenarium.backend.observe.writers import Part, writers, written
from tokenarium.kernels.attention_stats import attention_rows


@dataclass(frozen=True)
class Split:
    """The parts of a logit over another, or over the mean; they sum to it."""

    by_token: NDArray[np.float64]
    """[T] all heads, by the token whose value they read."""
    by_head: NDArray[np.float64]
    """[L, H] by head; NaN where a layer has fewer."""
    mlp: NDArray[np.float64]
    """[L]"""
    rest: dict[str, float]
    """What is neither: the embedding, biases, rounding."""
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> NDArray[np.float64]:
        """[L, H + 1] heads, then the MLP."""
        return np.concatenate((self.by_head, self.mlp[:, None]), 1)


class _Seen(Recorder):
    """Keeps what each layer attends with, and what comes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[int, AttentionCall] = {}
        self.out: dict[int, Tensor] = {}

    def attend(self, call: AttentionCall) -> Tensor:
        """Return the output as the model has it."""
        self.calls[call.layer] = call
        self.out[call.layer] = plain_attention(call)
        return self.out[call.layer]


class _Projections:
    """The linear layer of each attention that reads the heads' outputs side by side."""

    def __init__(self, layers: tuple[nn.Module, ...], seen: _Seen) -> None:
        self.found: dict[int, Any] = {}
        self.wrote: dict[int, Tensor] = {}
        self._handles = [
            part.register_forward_hook(self._hook(number, seen))
            for number, layer in enumerate(layers)
            for part in layer.modules()
            if isinstance(part, nn.Linear | Conv1D)
        ]

    def _hook(self, number: int, seen: _Seen) -> Any:
        def see(part: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
            heads = seen.out.get(number)
            if number in self.found or heads is None or heads[0].numel() != args[0].numel():
                return
            if torch.equal(heads.reshape(args[0].shape), args[0]):
                self.found[number], self.wrote[number] = part, output

        return see

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()


def split(game: Game) -> Split:
    """Return the parts of the target's logit over the other's, or over the mean.

    Raises: ValueError where the model does not add up as it must for that.
    """
    loaded = game.loaded
    chosen = writers(loaded, game.ids)
    seen = _Seen()
    kept: dict[tuple[Part, int], Tensor] = {}
    stream: dict[int, Tensor] = {}
    projections = _Projections(loaded.layers, seen)
    tokens = torch.tensor([game.ids], device=loaded.device)
    game.report("parts of the logit", 0, 1)
    try:
        with recording(seen), written(chosen, kept), residuals(loaded.layers, stream.__setitem__):
            loaded.body(input_ids=tokens, use_cache=False)
    finally:
        projections.close()
    game.reader.passes += 2
    game.reader.token_steps += 2 * len(game.ids)
    last: dict[tuple[Part, int], Tensor] = {
        key: value.reshape(-1, value.shape[-1])[-1].double() for key, value in kept.items()
    }
    count = len(loaded.layers)
    final = stream[count][0, -1].double()
    direction, constant, logit, notes = _direction(game, final)
    by_token = np.zeros(len(game.ids))
    by_head, biases = [], 0.0
    for layer in range(count):
        heads, bias = _heads(game, layer, seen, projections, last["attention", layer], direction)
        by_token += heads.sum(0)
        by_head.append(heads.sum(1))
        biases += bias
    most = max(map(len, by_head))
    mlp = np.array([float(last["mlp", layer] @ direction) for layer in range(count)])
    table = np.full((count, most), np.nan)
    for layer, heads in enumerate(by_head):
        table[layer, : len(heads)] = heads
    embedding = float(stream[0][0, -1].double() @ direction)
    rest = {"embedding of the last token": embedding, "biases": biases + constant}
    rest["rounding"] = logit - float(np.nansum(table) + mlp.sum() + sum(rest.values()))
    return Split(by_token, table, mlp, rest, notes)


def _direction(game: Game, final: Tensor) -> tuple[Tensor, float, float, tuple[str, ...]]:
    """Return d [D], a constant and the logit, final . d + constant; the norm's scale is kept."""
    loaded = game.loaded
    output: Any = loaded.model.get_output_embeddings()
    weight, bias = output.weight, getattr(output, "bias", None)
    target, against = game.target.token, game.target.against
    entries = len(loaded.tokenizer)

    def over(table: Tensor) -> Tensor:
        other = table[:entries].double().mean(0) if against is None else table[against].double()
        return table[target].double() - other

    across = over(weight)
    constant = 0.0 if bias is None else float(over(bias))
    normed = _normed(game, final)
    if isinstance(loaded.final_norm, nn.LayerNorm):
        norm = loaded.final_norm
        scale = across * norm.weight.double() / (final.var(unbiased=False) + norm.eps).sqrt()
        direction = scale - scale.mean()
        constant += 0.0 if norm.bias is None else float(across @ norm.bias.double())
    else:
        signs = torch.ones_like(final)
        signs[::2] = -1
        if not torch.allclose(_normed(game, final * signs), normed * signs, rtol=1e-3, atol=1e-4):
            raise ValueError(
                f"the final norm of {loaded.name} is not linear at a given scale: choose a method "
                "that changes the text, such as occlusion"
            )
        direction = across * torch.where(final == 0, 0, normed / final)
    logit = float(across @ normed) + (0.0 if bias is None else float(over(bias)))
    whole = loaded.unembed(normed.to(loaded.dtype)[None])[0].double()[:entries]
    other = whole.mean() if against is None else whole[against]
    actual = float(whole[target] - other)
    notes: tuple[str, ...] = ()
    if abs(actual - logit) > 1e-3 * max(1.0, abs(actual)):
        notes = (
            f"logits are split before they are capped or scaled; after that it is {actual:.3f}",
        )
    return direction, constant, logit, notes


def _normed(game: Game, final: Tensor) -> Tensor:
    norm = game.loaded.final_norm
    if norm is None:
        return final
    found: Tensor = norm(final.to(game.loaded.dtype)[None, None])[0, 0].double()
    return found


def _heads(
    game: Game,
    layer: int,
    seen: _Seen,
    projections: _Projections,
    wrote: Tensor,
    direction: Tensor,
) -> tuple[NDArray[np.float64], float]:
    """Return [H, T] what each head wrote along ``direction`` from each token, and the bias."""
    call, part = seen.calls.get(layer), projections.found.get(layer)
    if call is None or part is None:
        raise ValueError(
            f"the heads of layer {layer} of {game.loaded.name} are not known apart: choose a "
            "method that changes the text, such as occlusion"
        )
    own = projections.wrote[layer].reshape(-1, wrote.shape[-1])[-1].double()
    # A norm behind the projection scales each entry; its scale is kept, too.
    along = direction * torch.where(own == 0, 0, wrote / own)
    weight = part.weight.double() if isinstance(part, Conv1D) else part.weight.double().T
    heads, size = call.q.shape[1], call.v.shape[-1]
    by_head = (weight @ along).view(heads, size)
    values = call.v[0].double().repeat_interleave(heads // call.v.shape[1], 0)
    towards = torch.einsum("hsd,hd->hs", values, by_head)
    only_last = call.inputs()
    *_, rows = attention_rows(only_last, max(1, call.q.shape[2]))
    weights = torch.zeros_like(towards)
    weights[:, : rows.weights.shape[-1]] = rows.weights[:, -1].double()
    bias = 0.0 if part.bias is None else float(part.bias.double() @ along)
    return (weights * towards).cpu().numpy(), bias
