"""Contrastive search: a likely token whose state is unlike those before."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise

LEAST_ISOTROPY = 0.5
"""Isotropy below which states of other tokens are more alike than not: our own line."""
MOST_STATES = 512
"""Newest states that are compared."""


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
    builds_on = "states of different tokens point in different directions"
    neutral: ClassVar = {"alpha": 0.0}

    candidates: int = Field(4, ge=1, le=50, description="Likeliest tokens that are tried.")
    alpha: float = Field(
        0.6, ge=0, le=1, description="Weight of the penalty for a state that is like one before."
    )

    def most_token_steps(self, new_tokens: int) -> int:
        """Every candidate is read."""
        return self.candidates * new_tokens

    def most_premise_passes(self, new_tokens: int) -> int:  # noqa: ARG002
        """Plain decoding is read once more."""
        return 1

    def premise(self, lane: "Lane") -> "Premise":
        """Measure the isotropy of the states after the prompt and the text of plain decoding.

        1 - the mean cosine of all pairs of states. Paper: Su and Collier, 2022, arXiv:2210.14140.
        """
        import torch.nn.functional as F

        from tokenarium.backend.decoding.drawing import Drawing, Series
        from tokenarium.backend.decoding.premise import LEAST_STEPS, Premise, too_short

        tokens = lane.calibration.tokens
        if len(tokens) < LEAST_STEPS:
            return too_short(self.builds_on, len(tokens))
        lane.stepper.feed(tokens)
        states = F.normalize(lane.stepper.states[-MOST_STATES:].float(), dim=-1)
        alike = (states @ states.T).cpu()
        count = len(alike)
        isotropy = 1 - float(alike.sum() - alike.trace()) / (count * (count - 1))
        new = range(max(1, count - len(tokens)), count)
        highest = [float(alike[place, :place].max()) for place in new]
        mean = [float(alike[place, :place].mean()) for place in new]
        steps = [float(place - count + len(tokens) + 1) for place in new]
        return Premise(
            self.builds_on,
            f"the isotropy of {count} states, 1 less the mean cosine of their pairs, is "
            f"{isotropy:.2f}, and {LEAST_ISOTROPY:g} is our own line; along plain "
            "decoding the highest cosine with a state before, which "
            f"the penalty is made of, is {min(highest):.2f} to {max(highest):.2f}",
            isotropy,
            LEAST_ISOTROPY,
            below=False,
            drawing=Drawing(
                "States of plain decoding",
                "step",
                "cosine with states before",
                (Series("mean", steps, mean), Series("highest", steps, highest)),
            ),
        )

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
