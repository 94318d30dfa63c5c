"""What comes back for rows of logits."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class VocabStats:
    """Statistics of R next-token distributions p over V tokens, in float32 and nats.

    ``logsumexp`` [R]; ``entropy`` [R] is -sum p ln p; ``varentropy`` [R] is
    sum p (-ln p - entropy)^2; ``surprisal`` [R] is -ln p of the target and ``rank`` [R] the number
    of tokens before it by falling p, ties by id; ``top_ids`` and ``top_probs`` [R, k] are by
    falling p, ties by id; ``kl`` [R] is KL(other || p); ``probs`` [R, V] is p. What was not asked
    for is None.
    """

    logsumexp: Tensor
    entropy: Tensor
    varentropy: Tensor | None = None
    surprisal: Tensor | None = None
    rank: Tensor | None = None
    top_ids: Tensor | None = None
    top_probs: Tensor | None = None
    kl: Tensor | None = None
    probs: Tensor | None = None

    def rows(self, chosen: Sequence[int] | slice) -> "VocabStats":
        """Return the statistics of some of the rows."""
        kept: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            kept[field.name] = None if value is None else value[chosen]
        return VocabStats(**kept)


@dataclass(frozen=True)
class ProbStats:
    """Statistics of R distributions p over V tokens, in nats.

    ``entropy`` [R] is -sum p ln p; ``top_ids`` and ``top_probs`` [R, k] are by falling p;
    ``crossed`` [R] is -sum r ln p of another distribution r, infinite where p lacks a token that r
    has, and ``overlap`` [R] is sum min(p, r): None where there is no other.
    """

    entropy: Tensor
    top_ids: Tensor
    top_probs: Tensor
    crossed: Tensor | None = None
    overlap: Tensor | None = None
