"""Attention that knows nothing of the text: even, or drawn at random from all there could be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Generator, Tensor

from tokenarium.kernels.attention_stats import AttentionStats, Rows, Want

DRAWN_ROWS = 256
"""Last queries of a prompt whose random weights are drawn one by one; of those before, the sums."""
ROW_WEIGHTS = 1 << 21
_MADE = {"received", "decay", "last"}


def can_make(want: Want) -> bool:
    """Return whether every statistic that is wanted can be had of attention without content."""
    asked = {field.name for field in fields(Want) if getattr(want, field.name)}
    return asked <= _MADE


@dataclass(frozen=True)
class NullAttention:
    """Attention weights of H heads by queries that see everything up to themselves.

    Args:
        heads: H.
        random: draws each query's weights from all distributions alike (flat Dirichlet, so that
            the mean is the even share); None gives the even share itself.
        device: of what is returned.
    """

    heads: int
    random: Generator | None
    device: torch.device

    def rows(self, length: int, last: int) -> Iterator[Rows]:
        """Yield the weights of the last so many queries of a prompt, some at a time."""
        first = max(0, length - last)
        block = max(1, ROW_WEIGHTS // (self.heads * length))
        at = torch.arange(length)
        for start in range(first, length, block):
            stop = min(length, start + block)
            weights = self._weights(at <= at[start:stop, None])
            yield Rows(start - first, stop - first, weights.log(), weights)

    def step(self, counts: Sequence[int]) -> Tensor:
        """Return the weights [H, 1, S] of one query over G heads of so many entries each."""
        present = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
        return self._weights(present.repeat_interleave(self.heads // len(counts), 0)[:, None])

    def stats(self, want: Want, length: int) -> AttentionStats:
        """Return what is wanted of a whole prompt's attention; see ``can_make``.

        Random sums over many queries are gamma-distributed with the exact mean and variance.
        """
        asked: list[Tensor] = []
        if want.received:
            asked.append(torch.ones(length, dtype=torch.float64))
        ago = torch.arange(length, dtype=torch.float64).flip(0)
        asked += [factor**ago for factor in want.decay]
        if want.last:
            asked.append((ago < want.last).double())
        sums = iter(self._sums(asked, length))
        return AttentionStats(
            received=next(sums) if want.received else None,
            decayed=torch.stack([next(sums) for _ in want.decay], 1) if want.decay else None,
            last=next(sums) if want.last else None,
        )

    def _weights(self, seen: Tensor) -> Tensor:
        """Return [H, n, S] from what each query sees, [n, S] or [H, n, S] bool."""
        seen = seen.expand(self.heads, -1, -1)
        if self.random is None:
            odds = seen.float()
        else:
            drawn = torch.empty(seen.shape).exponential_(generator=self.random)
            odds = drawn.where(seen, 0)
        return (odds / odds.sum(-1, keepdim=True)).to(self.device)

    def _sums(self, factors: list[Tensor], length: int) -> list[Tensor]:
        """Return [H, T] the weights of all queries, each query's times its factor [T]."""
        seen = torch.arange(1, length + 1, dtype=torch.float64)
        if self.random is None:
            shares = (_from_each_on(factor / seen) for factor in factors)
            return [self._given(share.expand(self.heads, -1)) for share in shares]
        split = max(0, length - DRAWN_ROWS)
        early = torch.arange(length) < split
        spread = (seen - 1) / (seen**2 * (seen + 1))
        sums = [
            self._gamma(
                _from_each_on(factor * early / seen), _from_each_on(factor**2 * early * spread)
            )
            for factor in factors
        ]
        for rows in self.rows(length, length - split):
            of = slice(split + rows.start, split + rows.stop)
            for sum_, factor in zip(sums, factors, strict=True):
                sum_ += (rows.weights * self._given(factor[of])[:, None]).sum(1)
        return sums

    def _gamma(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return [H, T] draws; where nothing varies, the mean."""
        assert self.random is not None
        # numpy draws gamma numbers from a seed; torch does not offer it publicly.
        seed = int(torch.randint(2**62, (1,), generator=self.random))
        varies = variance > 0
        shape = (mean**2 / variance).where(varies, 1).numpy()
        scale = (variance / mean).where(varies, 0).numpy()
        drawn = np.random.default_rng(seed).gamma(shape, scale, (self.heads, len(mean)))
        return self._given(torch.from_numpy(drawn).where(varies, mean))

    def _given(self, values: Tensor) -> Tensor:
        return values.to(self.device, torch.float32)


def _from_each_on(values: Tensor) -> Tensor:
    """Return at every place the sum of the values from there on: queries see what is before."""
    return values.flip(0).cumsum(0).flip(0)
