"""Soft thinking: where the model is sure enough, it reads a mixture of tokens instead of one."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.next_token import NextToken
    from tokenarium.backend.decoding.premise import Premise


class SoftThinking(Strategy):
    """A soft step reads sum p'(x) E(x) over the likeliest tokens, p' of sum 1 over them.

    It ends for good after its number of soft steps, or once the entropy stays low ("cold stop").
    """

    slug = "soft_thinking"
    title = "Soft thinking"
    explanation = (
        "Reads the mean of the likeliest tokens' embeddings, weighted by probability, in place of "
        "one of them; then goes on greedily. It wrecks a small model where its entropy is high."
    )
    paper = "Zhang et al., 2025, arXiv:2505.15778"
    differs = (
        "soft steps are taken only where the likeliest token has enough probability, and fewer: "
        "a small model does not recover from mixtures of unlike tokens"
    )
    embeds = True
    builds_on = "mixtures of embeddings, one after another, are read as tokens are"
    neutral: ClassVar[dict[str, Any]] = {"soft_steps": 0}
    published: ClassVar[dict[str, Any]] = {
        "tokens": 10,
        "surest": 0.0,
        "soft_steps": 1024,
        "cold_steps": 256,
    }

    tokens: int = Field(3, ge=1, le=50, description="Most tokens that are mixed.")
    least: float = Field(
        0.001, ge=0, le=1, description="Leave out tokens below this share of the likeliest one."
    )
    surest: float = Field(
        0.5, ge=0, le=1, description="Probability of the likeliest token from which on it is soft."
    )
    soft_steps: int = Field(16, ge=0, le=1024, description="Steps in which it may be soft.")
    cold_nats: float = Field(0.01, ge=0, le=5, description="Entropy that counts as cold, in nats.")
    cold_steps: int = Field(
        4, ge=1, le=1024, description="Cold steps in a row after which it is soft no more."
    )

    def premise(self, lane: "Lane") -> "Premise":
        """Read its mixtures one after another, whatever the entropy."""
        from tokenarium.backend.decoding.soft_premise import read_as_tokens

        return read_as_tokens(self.builds_on, lane, lambda now: self._mixed(lane, now))

    def most_premise_passes(self, new_tokens: int) -> int:
        """A pass a mixture."""
        from tokenarium.backend.decoding.soft_premise import MOST_MIXTURES

        return min(MOST_MIXTURES, new_tokens)

    def decode(self, lane: "Lane") -> None:
        """Take soft steps where it may, hard ones elsewhere."""
        from tokenarium.backend.decoding.soft import embedding_of, mixture, take_mixture

        cold = 0
        while not lane.ended:
            now = lane.now
            cold = cold + 1 if now.entropy_nats < self.cold_nats else 0
            if lane.step == self.soft_steps or cold == self.cold_steps:
                lane.event("switch", "soft steps are over")
                break
            ids, weights = mixture(now.probs, self.tokens, self.least)
            sure = float(now.probs[ids[0]]) >= self.surest
            if len(ids) == 1 or not sure or ids[0] in lane.ends:
                lane.take(now.best)
                continue
            take_mixture(lane, ids, weights, embedding_of(lane, ids, weights))
        while not lane.ended:
            lane.take(lane.now.best)

    def _mixed(self, lane: "Lane", now: "NextToken") -> "Tensor | None":
        from tokenarium.backend.decoding.soft import embedding_of, mixture

        ids, weights = mixture(now.probs, self.tokens, self.least)
        return embedding_of(lane, ids, weights) if len(ids) > 1 else None
