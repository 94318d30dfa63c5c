"""A model that is ready to be observed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast


@dataclass(frozen=True)
class Verdict:
    """Whether a model is observed rightly, found out by running it."""

    supported: bool
    reason: str
    """What was checked, or what failed."""
    max_difference: float
    """Largest difference of logits from the comparison, as a share of the largest |logit|."""


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model in evaluation mode, with the parts every runner needs.

    One run at a time uses it: the tokenizer and the attention hooks hold state.
    """

    name: str
    """As asked for, such as ``bundled/target``."""
    model: PreTrainedModel
    """Loaded with ``attn_implementation="tokenarium"``."""
    tokenizer: PreTrainedTokenizerFast
    device: torch.device
    dtype: torch.dtype
    context: int
    """Most tokens the model was made to read at once."""
    layers: tuple[nn.Module, ...]
    """Decoder layers, in order."""
    final_norm: nn.Module | None
    """Applied to the last residual before ``unembed``; None where there is none."""
    unembed: Callable[[Tensor], Tensor]
    """Final-normed hidden [..., D] to logits [..., V], final softcap and logit scale included."""
    fingerprint: str
    """SHA-256 over configuration, tokenizer and weights."""
    weights: str = ""
    """What the weights are, where they are a copy that differs from the original."""
    notes: tuple[str, ...] = ()
    """What of the files was read otherwise than one might expect; stands with every run."""
    verdict: Verdict | None = None
    """What the load-time check found."""
    reads_past_context: bool = False
    """Whether positions after ``context`` can be computed, as rotary ones can."""

    @property
    def body(self) -> nn.Module:
        """What turns ids into final-normed states; some models name their base otherwise."""
        model: Any = self.model
        body: nn.Module = model.model if model.base_model is model else model.base_model
        return body
