"""From logits to the law that tokens are drawn from: the same for target and draft."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Processors:
    """What is done to logits, once, in this order: penalty, temperature, top-k, top-p, min-p.

    At temperature 0 the law has all its mass on the most likely token, ties by id; a draft's law is
    then that of temperature 1, so that there is something to choose several children by.
    """

    temperature: float = 0.0
    top_k: int = 0
    """Most tokens that keep probability; 0 for all."""
    top_p: float = 1.0
    """The likeliest tokens keep probability until they hold this share."""
    min_p: float = 0.0
    """Tokens below this share of the likeliest one's probability lose theirs."""
    repetition_penalty: float = 1.0
    """Logits of tokens on the path are divided by it where positive, else multiplied."""

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0

    def law(self, logits: Tensor, paths: Sequence[Sequence[int]] | None = None) -> Tensor:
        """Return the target's law [n, V], float32.

        Args:
            logits: [n, V] of any float dtype.
            paths: for each row all tokens before, prompt included; only the penalty reads them.
        """
        logits = self._penalised(logits.float(), paths)
        if self.greedy:
            best = logits.argmax(-1, keepdim=True)  # the first of equals
            return torch.zeros_like(logits).scatter_(-1, best, 1.0)
        return self._cut(torch.softmax(logits / self.temperature, -1))

    def draft_law(self, logits: Tensor, paths: Sequence[Sequence[int]] | None = None) -> Tensor:
        """Return the draft's law [n, V]: as ``law``, but of temperature 1 where greedy."""
        logits = self._penalised(logits.float(), paths)
        return self._cut(torch.softmax(logits / (self.temperature or 1.0), -1))

    def _penalised(self, logits: Tensor, paths: Sequence[Sequence[int]] | None) -> Tensor:
        if self.repetition_penalty == 1 or paths is None:
            return logits
        logits = logits.clone()
        for row, path in zip(logits, paths, strict=True):
            seen = torch.tensor(sorted(set(path)), device=logits.device)
            found = row[seen]
            divided = found / self.repetition_penalty
            row[seen] = divided.where(found > 0, found * self.repetition_penalty)
        return logits

    def _cut(self, law: Tensor) -> Tensor:
        cut = law
        if 0 < self.top_k < law.shape[-1]:
            least = cut.topk(self.top_k, -1).values[..., -1:]
            cut = cut.where(cut >= least, 0)
            cut = cut / cut.sum(-1, keepdim=True)
        if self.top_p < 1:
            ordered, order = cut.sort(stable=True, dim=-1, descending=True)
            before = ordered.cumsum(-1) - ordered
            cut = torch.zeros_like(cut).scatter_(-1, order, ordered.where(before < self.top_p, 0))
            cut = cut / cut.sum(-1, keepdim=True)
        if self.min_p > 0:
            cut = cut.where(cut >= self.min_p * cut.amax(-1, keepdim=True), 0)
            cut = cut / cut.sum(-1, keepdim=True)
        return cut
