"""Every field of a trace from transformers' eager attention, hidden states and full logits."""

from typing import Any

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

NORM = {"gpt2": "transformer.ln_f"}
LAYERS = {"gpt2": "transformer.h"}


def expected(model: PreTrainedModel, ids: list[int], tiles: int, top_k: int) -> dict[str, Any]:
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
        | _vocabulary(run.logits[0].double().numpy(), ids, top_k)
        | _lens(lens.double().numpy())
        | {
            "residual_norm": stream.double().norm(dim=-1).numpy(),
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
    logs = np.log(np.where(a > 0, a, 1))
    mean, highest = _tiles(a, tiles)
    return {
        "received_mass": received,
        "sink_score": a[..., 0].mean(-1),
        "attention_entropy_nats": -(a * logs).sum(-1),
        "attention_distance": (a * back).sum(-1),
        "previous_mass": previous,
        "self_mass": a.diagonal(0, 2, 3).mean(-1),
        "attention_tiles_mean": mean,
        "attention_tiles_max": highest,
    }


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
