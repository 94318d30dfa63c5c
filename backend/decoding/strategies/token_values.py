"""Token values: of the likeliest tokens, the one after which most texts end in the right answer."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.branch import Branch
    from tokenarium.backend.decoding.lane import Lane


class TokenValues(Strategy):
    """The value of a token is the share of texts drawn after it that answer the prompt rightly.

    Where no answer is known, texts are counted that end as most of all drawn texts do.
    """

    slug = "token_values"
    title = "Token values"
    explanation = (
        "Where the model is unsure, draws several texts after each likely token, and takes the "
        "token after which most of them end in the right answer."
    )
    paper = "Lee et al., 2024, arXiv:2407.12863"
    differs = (
        "the paper trains a head that says the value of every token; here the label that it is "
        "trained on, the share of right texts, is counted, which needs the answer to be known"
    )
    branches = True
    neutral: ClassVar[dict[str, Any]] = {"rollouts": 0}

    quantile: float = Field(
        0.8, ge=0, le=1, description="Quantile of the entropy of plain decoding to pause above."
    )
    candidates: int = Field(3, ge=1, le=16, description="Likeliest tokens that are tried.")
    rollouts: int = Field(4, ge=0, le=64, description="Texts drawn after each; 0 for plain.")
    length: int = Field(12, ge=1, le=64, description="Tokens of a drawn text.")

    def most_passes(self, new_tokens: int) -> int:
        """Every step may draw texts."""
        return new_tokens * (2 + self.length)

    def most_token_steps(self, new_tokens: int) -> int:
        """All of them are read."""
        return new_tokens * (1 + self.candidates * (1 + self.rollouts * self.length))

    def step(self, lane: "Lane") -> None:
        """Take the likeliest token, or the one of the highest value."""
        line = lane.line("pause above", lane.calibration.entropy(self.quantile))
        now = lane.now
        tokens = now.likeliest(self.candidates)
        if now.entropy_nats <= line or not self.rollouts or len(tokens) < 2:
            lane.take(now.best)
            return
        lane.event("pause", "entropy is above the threshold")
        tried = lane.fork(tokens)
        values = self.values(lane, tried)
        for branch, value in zip(tried, values, strict=True):
            branch.score = value
        how = "right answer" if lane.right is not None else "end that most texts have"
        lane.consider(tokens, values, f"share of {self.rollouts} drawn texts with the {how}")
        best = max(tried, key=lambda branch: branch.score)
        lane.keep(best, 1, score=best.score, reason="of the highest value")

    def values(self, lane: "Lane", tried: "list[Branch]") -> list[float]:
        """Return the share of drawn texts after each branch that are right."""
        texts: list[tuple[Branch, Branch]] = [
            (branch, branch) for branch in tried for _ in range(self.rollouts)
        ]
        done: list[tuple[Branch, list[int]]] = []
        for ahead in range(self.length + 1):
            going = []
            for branch, first in texts:
                last = branch.tokens[-1]
                if last in lane.ends or ahead == min(self.length, lane.room - 1):
                    done.append((first, branch.tokens))
                else:
                    going.append((branch, lane.drawn_after(branch), first))
            if not going:
                break
            made = lane.advance([(branch, token) for branch, token, _ in going])
            texts = [(branch, first) for branch, (_, _, first) in zip(made, going, strict=True)]
        right = self._right(lane, [tokens for _, tokens in done])
        return [
            sum(good for (first, _), good in zip(done, right, strict=True) if first is branch)
            / self.rollouts
            for branch in tried
        ]

    def _right(self, lane: "Lane", texts: list[list[int]]) -> list[bool]:
        """Return whether each text answers rightly, or as most do where nobody knows."""
        if lane.right is not None:
            return [lane.right([*lane.new, *tokens]) for tokens in texts]
        ends = [tuple(tokens[-3:]) for tokens in texts]
        most = max(ends, key=ends.count)
        return [end == most for end in ends]
