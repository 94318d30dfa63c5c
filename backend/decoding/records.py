"""What is recorded of every new token: its distribution before and after each step."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.decoding.next_token import ALTERNATIVES, NextToken


@dataclass(frozen=True)
class TokenRecord:
    """One new token and the distribution it was chosen from; S stages, A alternatives."""

    token: int
    probability: float
    log_prob: float
    final_probability: float
    rank: int
    entropy_nats: float
    varentropy_nats2: float
    top_ids: NDArray[np.int32]
    """[A] the model's likeliest tokens, -1 where it has fewer."""
    top_probs: NDArray[np.float32]
    """[S, A] their probabilities after each stage."""
    left: NDArray[np.int32]
    """[S] tokens that have probability after each stage."""
    stage_entropy_nats: NDArray[np.float32]
    """[S] entropy after each stage."""
    small: bool = False
    """Whether the small model of two said it."""

    @property
    def before(self) -> tuple[float, float]:
        """Entropy and varentropy of the distribution it was chosen from."""
        return self.entropy_nats, self.varentropy_nats2


def record(now: NextToken, token: int) -> TokenRecord:
    """Write down that a token follows where ``now`` is the distribution."""
    stages = now.stages
    ids = np.full(ALTERNATIVES, -1, np.int32)
    ids[: len(now.top_ids)] = now.top_ids
    probs = np.zeros((len(stages), ALTERNATIVES), np.float32)
    left = np.empty(len(stages), np.int32)
    entropy = np.empty(len(stages), np.float32)
    for row, stage in enumerate(stages):
        own = stage.probs
        probs[row, : len(now.top_ids)] = own[now.top_ids.tolist()].cpu().numpy()
        left[row] = int((own > 0).sum())
        entropy[row] = now.entropy_nats if row == 0 else float(-(own.xlogy(own)).sum())
    return TokenRecord(
        token=token,
        probability=now.probability(token),
        log_prob=now.log_prob(token),
        final_probability=float(stages[-1].probs[token]),
        rank=now.rank(token),
        entropy_nats=now.entropy_nats,
        varentropy_nats2=now.varentropy_nats2,
        top_ids=ids,
        top_probs=probs,
        left=left,
        stage_entropy_nats=entropy,
        small=now.small,
    )


def soft_record(now: NextToken) -> TokenRecord:
    """Write down a step at which no token was chosen: a mixture of embeddings was read."""
    made: dict[str, Any] = vars(record(now, now.best))
    nothing = {"token": -1, "probability": float("nan"), "log_prob": float("nan"), "rank": -1}
    return TokenRecord(**{**made, **nothing, "final_probability": float("nan")})
