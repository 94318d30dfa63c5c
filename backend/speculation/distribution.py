"""From logits to the distribution that tokens are sampled from, and sampling from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


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


_BLOCK = 256
"""Tokens whose mass is summed before any is looked at one by one."""


def sample(probs: Tensor, uniform: Tensor) -> Tensor:
    """Return the tokens [F] where the cumulated distributions pass ``uniform``; none has mass 0.

    Args:
        probs: [F, V], not necessarily of sum 1.
        uniform: [F] numbers in [0, 1), float64.
    """
    vocabulary = probs.shape[-1]
    if vocabulary <= 4 * _BLOCK:
        edges = probs.double().cumsum(-1)
        return _first_above(edges, edges[:, -1] * uniform)[0]
    whole = vocabulary // _BLOCK * _BLOCK
    masses = probs[:, :whole].unflatten(-1, (-1, _BLOCK)).sum(-1)
    if whole < vocabulary:
        masses = torch.cat([masses, probs[:, whole:].sum(-1, keepdim=True)], -1)
    edges = masses.double().cumsum(-1)
    block, inside = _first_above(edges, edges[:, -1] * uniform)
    tokens = block[:, None] * _BLOCK + torch.arange(_BLOCK, device=probs.device)
    within = probs.gather(-1, tokens.clamp_max(vocabulary - 1)).where(tokens < vocabulary, 0)
    found, _ = _first_above(within.double().cumsum(-1), inside)
    return block * _BLOCK + found


def _first_above(edges: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first of ascending edges [F, n] above ``reach`` [F], and how far it reaches in.

    The edge of what has no mass is that of the one before, so it is never first. Rounding may put
    ``reach`` a little outside, where it would find nothing, or the mass 0 at the start.
    """
    total = edges[:, -1]
    reach = torch.minimum(reach.clamp_min(0), torch.nextafter(total, torch.zeros_like(total)))
    index = torch.searchsorted(edges, reach[:, None], right=True)
    before = edges.gather(-1, (index - 1).clamp_min(0)).where(index > 0, 0)
    return index[:, 0], reach - before[:, 0]


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
    """
    return _normalised((target - draft).clamp_(min=0), target)


def without(probs: Tensor, tokens: Tensor) -> Tensor:
    """Return distributions [F, V] without their tokens [F, k], renormalised.

    Unchanged where nothing else has mass.
    """
    return _normalised(probs.scatter(-1, tokens, 0), probs)


def _normalised(masses: Tensor, otherwise: Tensor) -> Tensor:
    """Return masses [F, V] divided by their sum, in place; ``otherwise`` where they are all 0."""
    total = masses.sum(-1, keepdim=True)
    if bool((total > 0).all()):
        return masses.div_(total)
    return torch.where(total > 0, masses / total, otherwise)
