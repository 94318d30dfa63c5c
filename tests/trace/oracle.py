"""Every field of a trace from transformers' eager attention, hidden states and full logits."""

from typing import Any

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

NORM = {"gpt2": "transformer.ln_f"}
LAYERS = {"gpt2": "transformer.h"}


RUNS = 8


def expected(
    model: PreTrainedModel, ids: list[int], tiles: int, top_k: int, forgetting: tuple[float, ...]
) -> dict[str, Any]:
    """Compute all arrays from their definitions, in float64 after the forward pass."""
    family = model.config.model_type
    norm = model.get_submodule(NORM.get(family, "model.norm"))
    last = model.get_submodule(LAYERS.get(family, "model.layers"))[-1]
    residual = []
    hook = last.register_forward_hook(
        lambda _, __, out: residual.append(out if torch.is_tensor(out) else out[0])
    )
    cache = DynamicCache()
    with torch.inference_mode():
        run = model(
            torch.tensor([ids]),
            output_attentions=True,
            output_hidden_states=True,
            past_key_values=cache,
            use_cache=True,
        )
        hook.remove()
        stream = torch.cat([*run.hidden_states[:-1], residual[0]])  # [L + 1, T, D]
        lens = model.lm_head(norm(stream))
        if getattr(model.config, "final_logit_softcapping", None):
            cap = model.config.final_logit_softcapping
            lens = torch.tanh(lens / cap) * cap
    torch.testing.assert_close(lens[-1], run.logits[0], rtol=1e-5, atol=1e-5)
    a = torch.cat(run.attentions).double().numpy()  # [L, H, T, T]
    return (
        _attention(a, tiles)
        | _accumulated(a, forgetting, windows(model, len(ids)))
        | _residual(stream.double().numpy())
        | _vocabulary(run.logits[0].double().numpy(), ids, top_k)
        | _lens(lens.double().numpy())
        | {
            "key_norm": _norms([layer.keys for layer in cache.layers]),
            "value_norm": _norms([layer.values for layer in cache.layers]),
        }
    )


def _norms(tensors: list[torch.Tensor]) -> np.ndarray:
    return torch.cat(tensors).double().norm(dim=-1).numpy()


def _attention(a: np.ndarray, tiles: int) -> dict[str, Any]:
    length = a.shape[-1]
    i = np.arange(length)
    back = i[:, None] - i
    received = a.sum(2) / (length - i)
    previous = a.diagonal(-1, 2, 3).mean(-1) if length > 1 else np.full(a.shape[:2], np.nan)
    share = a.sum(-1)
    seen = a / share[..., None]  # without what a learned sink takes
    logs = np.log(np.where(seen > 0, seen, 1))
    mean, highest = _tiles(a, tiles)
    return {
        "received_mass": received,
        "sink_score": a[..., 0].mean(-1),
        "first_mass": a[..., 0],
        "attention_entropy_nats": -(seen * logs).sum(-1),
        "attention_distance": (seen * back).sum(-1),
        "learned_sink_mass": 1 - share,
        "previous_mass": previous,
        "self_mass": a.diagonal(0, 2, 3).mean(-1),
        "attention_tiles_mean": mean,
        "attention_tiles_max": highest,
    }


def windows(model: PreTrainedModel, length: int) -> list[int]:
    """The window of each layer where it hides anything in a text of ``length`` tokens, else 0."""
    config = model.config
    window = getattr(config, "sliding_window", None) or 0
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * config.num_hidden_layers
    return [window if kind.startswith("sliding") and window < length else 0 for kind in kinds]


def _residual(stream: np.ndarray) -> dict[str, Any]:
    dims = np.argsort(-np.abs(stream), axis=-1, kind="stable")[..., :3]
    return {
        "residual_norm": np.linalg.norm(stream, axis=-1),
        "residual_median": np.sort(np.abs(stream), axis=-1)[..., (stream.shape[-1] - 1) // 2],
        "residual_top_dims": dims,
        "residual_top_values": np.take_along_axis(stream, dims, -1),
    }


def _accumulated(
    a: np.ndarray, forgetting: tuple[float, ...], windows: list[int]
) -> dict[str, Any]:
    length = a.shape[-1]
    ages = length - 1 - np.arange(length)
    decayed = [np.einsum("i,lhij->lhj", factor**ages, a) for factor in forgetting]
    pairs = [persistence(layer, window) for layer, window in zip(a, windows, strict=True)]
    return {
        "decayed_mass": np.stack(decayed, 2),
        "persistence": np.stack([lasting for lasting, _ in pairs]),
        "persistence_chance": np.stack([chance for _, chance in pairs]),
        "attention_window": np.asarray(windows),
    }


def persistence(a: np.ndarray, window: int, runs: int = RUNS) -> tuple[np.ndarray, np.ndarray]:
    """Walk through the keys of one layer [H, T, T] one by one."""
    heads, length, _ = a.shape
    runs = min(runs, length)
    members = [[i for i in range(length) if i * runs // length == run] for run in range(runs)]
    uniform = [np.mean([1 / min(i + 1, window or i + 1) for i in run]) for run in members]
    lasting, chance = np.full((2, heads, runs - 1), np.nan)
    for head, b in np.ndindex(heads, runs - 1):
        sees = range(members[b][0])
        if window:
            sees = [j for j in sees if j > members[b + 1][0] - window]
        was, now = (
            {j for j in sees if a[head, members[run], j].mean() > 1.0001 * uniform[run]}
            for run in (b, b + 1)
        )
        if now:
            lasting[head, b] = len(was & now) / len(now)
        if sees:
            chance[head, b] = len(was) / len(sees)
    return lasting, chance


def _tiles(a: np.ndarray, tiles: int) -> tuple[np.ndarray, np.ndarray]:
    length = a.shape[-1]
    side = min(length, tiles)
    tile = np.arange(length) * side // length
    causal = np.tri(length, dtype=bool)
    mean, highest = np.full((2, *a.shape[:2], side, side), np.nan)
    for row in range(side):
        for column in range(row + 1):
            pairs = causal & (tile[:, None] == row) & (tile == column)
            if pairs.any():
                mean[..., row, column] = a[..., pairs].mean(-1)
                highest[..., row, column] = a[..., pairs].max(-1)
    return mean, highest


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _vocabulary(logits: np.ndarray, ids: list[int], top_k: int) -> dict[str, Any]:
    log_p = _log_softmax(logits)
    p = np.exp(log_p)
    entropy = -(p * log_p).sum(-1)
    order = np.argsort(-logits, axis=-1, kind="stable")
    surprisal, rank = np.full(len(ids), np.nan), np.full(len(ids), -1)
    for t in range(1, len(ids)):
        surprisal[t] = -log_p[t - 1, ids[t]]
        rank[t] = order[t - 1].tolist().index(ids[t])
    return {
        "token_ids": np.asarray(ids),
        "surprisal_nats": surprisal,
        "rank": rank,
        "entropy_nats": entropy,
        "varentropy_nats2": (p * (-log_p - entropy[:, None]) ** 2).sum(-1),
        "top_ids": order[:, :top_k],
        "top_probs": np.take_along_axis(p, order[:, :top_k], -1),
    }


def _lens(logits: np.ndarray) -> dict[str, Any]:
    log_p = _log_softmax(logits)
    final = log_p[-1]
    return {
        "lens_ids": logits.argmax(-1),
        "lens_entropy_nats": -(np.exp(log_p) * log_p).sum(-1),
        "lens_kl_nats": (np.exp(final) * (final - log_p)).sum(-1),
    }
