"""Learning-rate schedule: warm-up, a stable phase of any length, then decay to zero."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Warmup-stable-decay (Hu et al., 2024, arXiv:2404.06395), counted in tokens.

    The stable phase needs no end planned in advance: a run can be stopped, resumed, and decayed
    when its time is up. ``decay_start`` is None while the stable phase goes on.
    """

    warmup_tokens: int
    decay_start: int | None = None
    decay_tokens: int = 0

    def factor(self, tokens: int) -> float:
        """Return the multiplier in [0, 1] of every learning rate after ``tokens`` tokens."""
        rise = min(1.0, (tokens + 1) / max(1, self.warmup_tokens))
        if self.decay_start is None or tokens <= self.decay_start:
            return rise
        done = min(1.0, (tokens - self.decay_start) / max(1, self.decay_tokens))
        return rise * (1.0 - math.sqrt(done))

    def finished(self, tokens: int) -> bool:
        return self.decay_start is not None and tokens >= self.decay_start + self.decay_tokens
