"""Logits that are finite: padded rows of a vocabulary, and what overflows."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

NEVER = -1e4
"""Logit in place of minus infinity: its probability is 0 in every format, and 0 x NEVER is 0."""


def keep_finite(head: nn.Module) -> list[RemovableHandle]:
    """Let an unembedding whose bias says minus infinity say ``NEVER``; the weights stay.

    Rows that pad a vocabulary to a round size have no token. With minus infinity an entropy or a
    divergence, in which a probability of 0 meets its logarithm, would be NaN.
    """
    bias = getattr(head, "bias", None)
    if not isinstance(bias, Tensor) or not bool(torch.isneginf(bias).any()):
        return []

    def hook(_: nn.Module, __: Any, logits: Tensor) -> Tensor:
        return logits.masked_fill(torch.isneginf(logits), NEVER)

    return [head.register_forward_hook(hook)]


def refuse_overflow(logits: Tensor) -> None:
    """Refuse logits that are not finite: every number made of them would be wrong or empty.

    Raises:
        ValueError: with the format that did not suffice, and the remedy.
    """
    # One pass and nothing held; NaN and infinity survive a sum.
    if bool(torch.isfinite(logits.sum(dtype=torch.float32))):
        return
    name = str(logits.dtype).removeprefix("torch.")
    other = "dtype=float32" if logits.dtype != torch.float32 else "another model"
    raise ValueError(
        f"the model's numbers overflow {name} on this text, so that its logits are not finite: "
        f"choose {other}, or another text"
    )
