"""Unconditional token forcing: after which forced token does the model know the rest by heart?"""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.lane import Lane


class TokenForcing(Strategy):
    """Each forced token's score is the mean ln p of what greedy decoding writes after it.

    The token of the best score begins the text, unless what follows it is a loop.
    """

    slug = "token_forcing"
    title = "Token forcing scan"
    explanation = (
        "Forces tokens from all over the vocabulary, however unlikely, and begins the text with "
        "the one after which the model is surest: what it has by heart shows so."
    )
    paper = "Hoscilowicz et al., 2024, arXiv:2406.02481"
    differs = (
        "the scan is of tokens evenly over the ranks, after the prompt that is given; the paper's "
        "is of the whole vocabulary after the beginning of a text"
    )
    branches = True
    neutral: ClassVar = {"forced": 1}

    forced: int = Field(12, ge=1, le=64, description="Tokens that are forced, evenly by rank.")
    look_ahead: int = Field(4, ge=1, le=64, description="Tokens that are written after each.")
    lowest_rank: int = Field(
        20_000, ge=0, le=1_000_000, description="Rank up to which tokens are forced, from 0."
    )

    def most_passes(self, new_tokens: int) -> int:
        """The scan, and the rest of the text."""
        return new_tokens + 1 + self.look_ahead

    def most_token_steps(self, new_tokens: int) -> int:
        """Every forced token is continued."""
        return new_tokens + self.forced * (1 + self.look_ahead)

    def decode(self, lane: "Lane") -> None:
        """Scan, begin with the best, and go on greedily."""
        if not lane.ended:
            self._scan(lane)
        while not lane.ended:
            lane.take(lane.now.best)

    def _scan(self, lane: "Lane") -> None:
        import numpy as np

        last = min(self.lowest_rank, len(lane.now.logits) - 1)
        ranks = np.unique(np.linspace(0, last, self.forced).astype(int)) if self.forced > 1 else [0]
        order = lane.now.logits.sort(descending=True, stable=True).indices
        tokens = [int(order[rank]) for rank in ranks if int(order[rank]) not in lane.ends]
        if len(tokens) < 2:
            return
        tried = lane.fork(tokens, reason="forced")
        for _ in range(min(self.look_ahead, lane.room - 1)):
            open_ = [branch for branch in tried if branch.tokens[-1] not in lane.ends]
            if not open_:
                break
            lane.grow({branch: branch.now.best for branch in open_})
        for branch in tried:
            after = branch.log_probs[1:]
            branch.score = sum(after) / len(after) if after else -float("inf")
        lane.consider(tokens, [branch.score for branch in tried], "mean ln p of what follows")
        good = [branch for branch in tried if not loops(branch.tokens[1:])] or tried
        best = max(good, key=lambda branch: branch.score)
        lane.keep(best, score=best.score, reason="the surest after a forced token")


def loops(tokens: list[int]) -> bool:
    """Return whether a period is repeated three times or more at the end."""
    return any(
        tokens[-period:] == tokens[-2 * period : -period] == tokens[-3 * period : -2 * period]
        for period in range(1, len(tokens) // 3 + 1)
    )
