"""From logits to the distribution that tokens are sampled from, and sampling from it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenarium.kernels.vocab_stats import draw, left_over, normalised


@dataclass(frozen=True)
class Processors:
    """What is done to logits, once, in this order: penalty, temperature, top-k, top-p, min-p.

    At temperature 0 the distribution is one-hot on the most likely token, ties by id; a draft's is
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

    def probs(self, logits: Tensor, paths: Sequence[Sequence[int]] | None = None) -> Tensor:
        """Return the distributions [n, V] that the target's tokens are sampled from, float32.

        Args:
            logits: [n, V] of any float dtype.
            paths: for each row all tokens before, prompt included; only the penalty reads them.
        """
        logits = self.with_penalty(logits.float(), paths)
        if self.greedy:
            best = logits.argmax(-1, keepdim=True)  # the first of equals
            return torch.zeros_like(logits).scatter_(-1, best, 1.0)
        return self._truncate(torch.softmax(logits / self.temperature, -1))

    def soft_probs(self, logits: Tensor, paths: Sequence[Sequence[int]] | None = None) -> Tensor:
        """Return [n, V] as ``probs`` does, but at temperature 1 where it would be one-hot."""
        logits = self.with_penalty(logits.float(), paths)
        return self._truncate(torch.softmax(logits / (self.temperature or 1.0), -1))

    def with_penalty(self, logits: Tensor, paths: Sequence[Sequence[int]] | None) -> Tensor:
        """Return logits [n, V] with the repetition penalty; arguments as of ``probs``."""
        if self.repetition_penalty == 1 or paths is None:
            return logits
        logits = logits.clone()
        for row, path in zip(logits, paths, strict=True):
            penalise_repeated(row, path, self.repetition_penalty)
        return logits

    def _truncate(self, probs: Tensor) -> Tensor:
        cut = probs
        if 0 < self.top_k < probs.shape[-1]:
            cut = keep_top_k(cut, self.top_k)
        if self.top_p < 1:
            cut = keep_top_p(cut, self.top_p)
        if self.min_p > 0:
            cut = keep_min_p(cut, self.min_p)
        return cut


def penalise_repeated(logits: Tensor, path: Sequence[int], penalty: float) -> None:
    """Divide the logits [V] of tokens on a path by the penalty, or multiply where negative."""
    seen = torch.tensor(sorted(set(path)), device=logits.device)
    found = logits[seen]
    logits[seen] = (found / penalty).where(found > 0, found * penalty)


def keep_top_k(probs: Tensor, count: int) -> Tensor:
    """Return distributions [n, V] of the likeliest tokens alone; equals of the last stay too."""
    least = probs.topk(count, -1).values[..., -1:]
    cut = probs.where(probs >= least, 0)
    return cut / cut.sum(-1, keepdim=True)


def keep_top_p(probs: Tensor, share: float) -> Tensor:
    """Return distributions [n, V] of the likeliest tokens that hold a share together."""
    cut = probs.where(_likeliest(probs, share), 0)
    return cut / cut.sum(-1, keepdim=True)


def keep_min_p(probs: Tensor, share: float) -> Tensor:
    """Return distributions [n, V] of the tokens not below a share of the likeliest one's."""
    cut = probs.where(probs >= share * probs.amax(-1, keepdim=True), 0)
    return cut / cut.sum(-1, keepdim=True)


_FEW = 1024
"""Tokens among which the likeliest are looked for before all of a vocabulary are sorted."""


def _likeliest(probs: Tensor, share: float) -> Tensor:
    """Return which tokens [n, V] hold ``share`` together, the likeliest first, equals by id."""
    count = min(_FEW, probs.shape[-1])
    ordered = probs.topk(count, -1).values
    kept = (ordered.cumsum(-1) - ordered < share).sum(-1, keepdim=True)
    if count < probs.shape[-1] and bool((kept == count).any()):
        ordered = probs.sort(-1, descending=True).values
        kept = (ordered.cumsum(-1) - ordered < share).sum(-1, keepdim=True)
    least = ordered.gather(-1, kept - 1)
    above, equal = probs > least, probs == least
    room = kept - above.sum(-1, keepdim=True)
    return above | (equal & (equal.cumsum(-1) <= room))


def sample(probs: Tensor, uniform: Tensor) -> Tensor:
    """Return the tokens [F] where the cumulated distributions pass ``uniform``; none has mass 0.

    Args:
        probs: [F, V], not necessarily of sum 1.
        uniform: [F] numbers in [0, 1), float64.
    """
    return draw(probs, uniform)


def sample_one(probs: Tensor, uniform: float) -> int:
    """Return the token of one distribution [V] at ``uniform`` in [0, 1); see ``sample``."""
    at = torch.tensor([uniform], dtype=torch.double, device=probs.device)
    return int(sample(probs[None], at))


def sample_with_replacement(probs: Tensor, uniforms: Tensor) -> Tensor:
    """Return tokens [n, k] sampled independently from distributions [n, V] by uniforms [n, k]."""
    return torch.stack([sample(probs, uniform) for uniform in uniforms.unbind(-1)], -1)


def sample_without_replacement(probs: Tensor, uniforms: Tensor) -> Tensor:
    """Return tokens [n, k] sampled in turn, each from what those before left; -1 if none is left.

    What is left is summed anew, not subtracted: where one token has nearly all the mass hardly
    anything is left, and differences would have no correct digit.
    """
    left, found = probs.clone(), []
    for uniform in uniforms.unbind(-1):
        spent = left.amax(-1) <= 0
        left[:, 0].masked_fill_(spent, 1)
        token = sample(left, uniform)
        left.scatter_(-1, token[:, None], 0)
        found.append(token.masked_fill(spent, -1))
    return torch.stack(found, -1)


def prob_of(probs: Tensor, tokens: Tensor) -> Tensor:
    """Return the probability that each of F distributions [F, V] gives its token [F]."""
    return probs.gather(-1, tokens[:, None])[:, 0]


def acceptance_ratio(target: Tensor, draft: Tensor) -> Tensor:
    """Return min(1, target / draft), and 0 where the target's is 0: never NaN."""
    return (target / draft).clamp_max(1).where(target > 0, 0)


def residual(target: Tensor, draft: Tensor) -> Tensor:
    """Return the distributions [F, V] proportional to max(0, target - draft).

    Where that is 0 everywhere nothing can have been rejected, and the target's own is returned.
    Within ``shared_residuals`` the same tensors give the same tensor.
    """
    known = _known.get()
    if known is None:
        return left_over(target, draft)
    key = id(target), id(draft)
    if key not in known:
        known[key] = target, draft, left_over(target, draft)
    return known[key][2]


_known: ContextVar[dict[tuple[int, int], tuple[Tensor, Tensor, Tensor]] | None] = ContextVar(
    "residuals", default=None
)
"""By the identities of target and draft, both, so that they live on, and their residual."""


@contextmanager
def shared_residuals() -> Iterator[None]:
    """Compute each residual once, for rules that ask for the same; nobody may write into them."""
    before = _known.set({})
    try:
        yield
    finally:
        _known.reset(before)


def without(probs: Tensor, tokens: Tensor) -> Tensor:
    """Return distributions [F, V] without their tokens [F, k], renormalised.

    Unchanged where nothing else has mass.
    """
    return normalised(probs.scatter(-1, tokens, 0), probs)
