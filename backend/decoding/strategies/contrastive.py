"""Contrastive search: a likely token whose state is unlike those before."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.lane import Lane


class Contrastive(Strategy):
    """Each candidate's score is (1 - alpha) p - alpha times its highest cosine to a state before.

    All candidates are read in one pass, so that a token still takes one.
    """

    slug = "contrastive"
    title = "Contrastive search"
    explanation = (
        "Takes, of the likeliest tokens, one whose hidden state is unlike those of the text so "
        "far: it avoids saying the same again."
    )
    paper = "Su et al., 2022, arXiv:2202.06417"
    branches = True
    neutral: ClassVar = {"alpha": 0.0}

    candidates: int = Field(4, ge=1, le=50, description="Likeliest tokens that are tried.")
    alpha: float = Field(
        0.6, ge=0, le=1, description="Weight of the penalty for a state that is like one before."
    )

    def most_token_steps(self, new_tokens: int) -> int:
        """Every candidate is read."""
        return self.candidates * new_tokens

    def step(self, lane: "Lane") -> None:
        """Read the candidates, and keep the one with the best score."""
        import torch.nn.functional as F

        now = lane.now
        tokens = now.likeliest(self.candidates)
        before = F.normalize(lane.stepper.states.float(), dim=-1)
        tried = lane.fork(tokens)
        for token, branch in zip(tokens, tried, strict=True):
            state = lane.stepper.node_state(branch.nodes[-1]).float()
            alike = float((before @ F.normalize(state, dim=0)).max())
            branch.score = (1 - self.alpha) * now.probability(token) - self.alpha * alike
        lane.consider(tokens, [branch.score for branch in tried])
        best = max(tried, key=lambda branch: branch.score)
        lane.keep(best, score=best.score)
