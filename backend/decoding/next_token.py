"""What a model says next: its distribution, what the steps make of it, and how unsure it is."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.decoding.pipeline import Pipeline, Stage
from tokenarium.kernels.vocab_stats import vocab_stats

ALTERNATIVES = 20
"""Likeliest tokens of every step that are recorded."""


class NextToken:
    """The distribution of the token after a text; V tokens."""

    def __init__(
        self, logits: Tensor, path: Sequence[int], pipeline: Pipeline, small: bool = False
    ) -> None:
        """Take what a model said.

        Args:
            logits: [V].
            path: the text so far, prompt included.
            pipeline: what is done before a token is drawn.
            small: whether the small model of two said it.
        """
        self.logits = logits.float()
        """[V] of the model, float32."""
        self.path, self._pipeline, self.small = path, pipeline, small
        stats = vocab_stats(
            self.logits[None],
            top_k=min(ALTERNATIVES, len(logits)),
            varentropy=True,
            keep_probs=True,
        )
        assert stats.probs is not None
        assert stats.varentropy is not None
        assert stats.top_ids is not None
        self.probs = stats.probs[0]
        """[V] the model's own probabilities, at temperature 1."""
        self.entropy_nats = float(stats.entropy[0])
        """Of ``probs``."""
        self.varentropy_nats2 = float(stats.varentropy[0])
        """Variance of the surprisal under ``probs``."""
        self.top_ids: NDArray[np.int32] = stats.top_ids[0].cpu().numpy().astype(np.int32)
        """[A] the likeliest tokens by ``probs``, ties by id."""

    @cached_property
    def stages(self) -> list[Stage]:
        """``probs`` and what each step of the pipeline makes of them."""
        return self._pipeline.stages(self.logits, self.probs, self.path)

    @property
    def final(self) -> Tensor:
        """[V] the distribution that tokens are drawn from, after every step."""
        return self.stages[-1].probs

    @property
    def best(self) -> int:
        """The likeliest token after every step; of equals the one with the lowest id."""
        if len(self.stages) == 1:
            return int(self.logits.argmax())
        return int(self.final.argmax())

    def likeliest(self, count: int) -> list[int]:
        """Return the likeliest tokens after every step, equals by id; none that has lost all."""
        count = min(count, len(self.logits))
        if len(self.stages) == 1 and count <= len(self.top_ids):
            return [int(token) for token in self.top_ids[:count]]
        order = torch.sort(self.final, descending=True, stable=True)
        return [int(token) for token in order.indices[:count][order.values[:count] > 0]]

    def probability(self, token: int) -> float:
        """Return the model's own probability of a token."""
        return float(self.probs[token])

    def log_prob(self, token: int) -> float:
        """Return the natural logarithm of the model's own probability of a token."""
        return float(torch.log_softmax(self.logits, -1)[token])

    def rank(self, token: int) -> int:
        """Return how many tokens the model finds likelier, ties by id."""
        before = self.logits > self.logits[token]
        before[:token] |= self.logits[:token] == self.logits[token]
        return int(before.sum())
