"""Soft tokens: mixtures of embeddings with noise, so that thoughts are drawn at random."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.next_token import NextToken
    from tokenarium.backend.decoding.premise import Premise


class SoftTokens(Strategy):
    """A soft step reads p_tau E + sigma eps, eps ~ N(0, I).

    p_tau are the probabilities at a low temperature, sigma a share of the root mean square of the
    mixed embeddings' entries; the score is ln of the noise's density, up to a constant.
    """

    slug = "soft_tokens"
    title = "Soft tokens with noise"
    explanation = (
        "Reads mixtures of embeddings with Gaussian noise for a number of steps, then goes on "
        "greedily, which shows at which noise a text falls apart."
    )
    paper = "Butt et al., 2025, arXiv:2509.19170"
    differs = (
        "reading alone: the paper trains models by it; mixtures of few tokens, for few steps; "
        "whether the paper's root mean square is of entries was not verified"
    )
    embeds = True
    builds_on = "mixtures of embeddings, one after another, are read as tokens are"
    neutral: ClassVar[dict[str, Any]] = {"soft_steps": 0}
    published: ClassVar[dict[str, Any]] = {"noise": 0.33, "mixed_at": 0.5, "tokens": 50}

    tokens: int = Field(3, ge=1, le=50, description="Most tokens that are mixed.")
    mixed_at: float = Field(
        0.5,
        gt=0,
        le=5,
        description="Temperature of the mixture; low is nearly one token.",
    )
    noise: float = Field(
        0.1, ge=0, le=2, description="Standard deviation, as a share of the embeddings' entries."
    )
    soft_steps: int = Field(8, ge=0, le=1024, description="Steps that are soft, from the first.")

    def premise(self, lane: "Lane") -> "Premise":
        """Read its mixtures one after another, whatever the entropy."""
        from tokenarium.backend.decoding.soft_premise import read_as_tokens

        return read_as_tokens(self.builds_on, lane, lambda now: self._mixed(lane, now))

    def most_premise_passes(self, new_tokens: int) -> int:
        """A pass a mixture."""
        from tokenarium.backend.decoding.soft_premise import MOST_MIXTURES

        return min(MOST_MIXTURES, new_tokens)

    def decode(self, lane: "Lane") -> None:
        """Take soft steps, then hard ones."""
        from tokenarium.backend.decoding.soft import mixture, take_mixture

        while not lane.ended:
            now = lane.now
            if lane.step >= self.soft_steps or now.best in lane.ends:
                lane.take(now.best)
                continue
            ids, weights = mixture(now.probs, self.tokens, 0.0, self.mixed_at)
            noisy, density = self._noisy(lane, ids, weights)
            if self.noise:
                lane.consider(ids[:1], [density], "ln density of noise")
            take_mixture(lane, ids, weights, noisy)

    def _mixed(self, lane: "Lane", now: "NextToken") -> "Tensor":
        from tokenarium.backend.decoding.soft import mixture

        return self._noisy(lane, *mixture(now.probs, self.tokens, 0.0, self.mixed_at))[0]

    def _noisy(self, lane: "Lane", ids: list[int], weights: "Tensor") -> "tuple[Tensor, float]":
        """Return the mixture [hidden] with noise, and ln of the noise's density."""
        import torch

        from tokenarium.backend.decoding.soft import embedding_of

        clean = embedding_of(lane, ids, weights)
        drawn = lane.random.standard_normal(len(clean))
        entries = lane.stepper.embed(ids).float().square().mean().sqrt()
        eps = torch.as_tensor(drawn, dtype=clean.dtype, device=clean.device)
        noisy = clean + (self.noise * entries).to(clean.dtype) * eps
        return noisy, -float((eps.float() ** 2).sum()) / 2
