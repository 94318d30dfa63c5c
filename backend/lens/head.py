"""The unembedding in bfloat16, where that is faster, and what it says of each row."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tokenarium.backend.models.loaded import LoadedModel

LOWEST = -1e18  # finite: a probability of zero times infinity would be NaN
AT_ONCE = 16
"""Rows reduced at once: what is made of them stays in the processor's caches."""


@dataclass(frozen=True)
class Said:
    """R next-token distributions, reduced: ``ids``, ``entropy`` and ``kl`` [R]."""

    ids: Tensor
    entropy: Tensor
    kl: Tensor


@dataclass(frozen=True)
class Final:
    """The model's own distributions after R tokens: ``probs`` [R, V] and ``entropy`` [R]."""

    probs: Tensor
    entropy: Tensor
    ids: Tensor


def final(logits: Tensor) -> Final:
    """Return the distributions of logits [R, V]."""
    ids, entropy, _, probs = _distributions(_finite(logits))
    return Final(probs, entropy, ids)


def said(logits: Tensor, against: Final) -> Said:
    """Return what logits [R, V] say, and how far they are from the model's own."""
    ids, entropy, kl = [], [], []
    for part, probs in zip(logits.split(AT_ONCE), against.probs.split(AT_ONCE), strict=True):
        rows = _finite(part)
        first, own, log_sum, _ = _distributions(rows)
        ids.append(first)
        entropy.append(own)
        kl.append(log_sum - torch.linalg.vecdot(probs, rows))
    divergence = torch.cat(kl) - against.entropy
    return Said(torch.cat(ids), torch.cat(entropy), divergence.clamp_min_(0))


def _finite(logits: Tensor) -> Tensor:
    return logits.float().clamp_min(LOWEST)


def _distributions(logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return argmax, entropy, ln of the sum of exp, and probabilities of float32 logits [R, V]."""
    highest, ids = logits.max(-1)
    probs = torch.softmax(logits, -1)
    log_sum = highest - probs.gather(1, ids[:, None])[:, 0].log()
    return ids, log_sum - torch.linalg.vecdot(probs, logits), log_sum, probs


def bfloat16_is_faster(loaded: LoadedModel) -> bool:
    """Return whether this processor multiplies bfloat16 in instructions of its own.

    Weights of 2 bytes are also read in half the time, but without them every product is made of
    several float32 ones. Decided by the processor, not by a stopwatch: the same question has the
    same answer every time.
    """
    head = loaded.model.get_output_embeddings()
    if loaded.device.type != "cpu" or loaded.dtype != torch.float32 or type(head) is not nn.Linear:
        return False
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in known)


class Head:
    """Final norm and unembedding, with a second copy of its weights in bfloat16 where wanted.

    The embedding keeps its own, also where both are one matrix; nobody else uses the model
    meanwhile.

    Args:
        loaded: the model.
        rounded: whether there is a copy in bfloat16.
    """

    def __init__(self, loaded: LoadedModel, *, rounded: bool) -> None:
        self._loaded = loaded
        self._head = loaded.model.get_output_embeddings()
        self._rounded = (
            {
                name: nn.Parameter(weights.to(torch.bfloat16), requires_grad=False)
                for name, weights in self._head.named_parameters(recurse=False)
            }
            if rounded
            else {}
        )

    def logits(self, stream: Tensor, *, exact: bool = False) -> Tensor:
        """Return logits [R, V] of residual streams [R, D], in the products' format.

        ``exact`` uses no copy.
        """
        norm = self._loaded.final_norm
        hidden = stream if norm is None else norm(stream)
        if exact or not self._rounded:
            return self._loaded.unembed(hidden)
        kept = dict(self._head.named_parameters(recurse=False))
        try:
            for name, weights in self._rounded.items():
                setattr(self._head, name, weights)
            return self._loaded.unembed(hidden.to(torch.bfloat16))
        finally:
            for name, weights in kept.items():
                setattr(self._head, name, weights)
