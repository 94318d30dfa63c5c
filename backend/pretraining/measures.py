"""What a checkpoint is judged by: bits per byte, sink rate, agreement of draft and target."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import LlamaForCausalLM

from tokenarium.backend.observe import NAME, AttentionCall, Recorder, install, recording
from tokenarium.backend.pretraining.corpus import Windows


@torch.inference_mode()
def bits_per_byte(
    model: LlamaForCausalLM, windows: Windows, count: int, bytes_per_token: float, size: int = 8
) -> float:
    """Mean surprisal of ``count`` windows in bits, per byte of text.

    Formula: mean nats per token / ln 2 / bytes_per_token.
    """
    nats, tokens = 0.0, 0
    for start in range(0, count, size):
        ids = windows.batch(start, min(size, count - start)).to(model.device)
        with torch.autocast(ids.device.type, torch.bfloat16):
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        targets = ids[:, 1:]
        nats += functional.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), reduction="sum"
        ).item()
        tokens += targets.numel()
    return nats / tokens / math.log(2) / bytes_per_token


@dataclass(frozen=True)
class Sinks:
    """``first_mass`` [L, H]: mean attention on the first token over queries and windows."""

    first_mass: NDArray[np.float32]

    def rate(self, threshold: float = 0.3) -> float:
        """Share of heads above the threshold (Gu et al., 2024, arXiv:2410.10781)."""
        return float((self.first_mass > threshold).mean())


class _FirstTokenMass(Recorder):
    """Keeps, per layer, the mean attention [H] that queries pay to position 0."""

    def __init__(self) -> None:
        super().__init__()
        self.per_layer: list[torch.Tensor] = []

    def attend(self, call: AttentionCall) -> torch.Tensor:
        keys = call.k.repeat_interleave(call.q.shape[1] // call.k.shape[1], 1)
        scores = call.q.float() @ keys.float().mT * call.scaling
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        weights = scores.masked_fill(future, -torch.inf).softmax(-1)
        self.per_layer.append(weights[..., 0].mean((0, 2)))
        return super().attend(call)


@torch.inference_mode()
def sinks(model: LlamaForCausalLM, windows: Windows, count: int = 32) -> Sinks:
    """Measure the attention that every head gives the first token of ``count`` short windows."""
    install()
    before = model.config._attn_implementation  # noqa: SLF001 - transformers offers no reader
    model.set_attn_implementation(NAME)
    try:
        recorder = _FirstTokenMass()
        with recording(recorder):
            model(input_ids=windows.batch(0, count).to(model.device), use_cache=False)
    finally:
        model.set_attn_implementation(before)
    return Sinks(torch.stack(recorder.per_layer).float().cpu().numpy())


@torch.inference_mode()
def agreement(
    draft: LlamaForCausalLM, target: LlamaForCausalLM, windows: Windows, count: int = 16
) -> tuple[float, float]:
    """Compare two models on the same text, teacher forced.

    Returns: share of positions with the same most likely token, and the mean overlap
    sum_x min(p_draft(x), p_target(x)), which is the acceptance rate of speculative sampling
    (Leviathan et al., 2023, arXiv:2211.17192).
    """
    same, overlap, positions = 0.0, 0.0, 0
    for start in range(0, count, 4):
        ids = windows.batch(start, min(4, count - start)).to(target.device)
        p, q = (
            m(input_ids=ids, use_cache=False).logits.float().softmax(-1) for m in (target, draft)
        )
        same += (p.argmax(-1) == q.argmax(-1)).sum().item()
        overlap += torch.minimum(p, q).sum().item()
        positions += ids.numel()
    return same / positions, overlap / positions
