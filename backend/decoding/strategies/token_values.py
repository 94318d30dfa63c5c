"""Token values: of the likeliest tokens, the one after which most texts end in the right answer."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.branch import Branch
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise

MOST_ROLLOUTS, MOST_READ = 16, 600
"""Texts after each token that its premise draws, and tokens of all of them together."""


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
    builds_on = "which token is taken where the model is most unsure changes how the text ends"
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

    def most_premise_passes(self, new_tokens: int) -> int:  # noqa: ARG002
        """Plain decoding is read up to its most unsure step, and texts are drawn from there."""
        return 3 + self.length

    def premise(self, lane: "Lane") -> "Premise":
        """Draw texts after the likely tokens of the most unsure step, and compare their ends.

        Where an answer is known, of the steps before it is written.
        """
        import numpy as np

        from tokenarium.backend.decoding.chance import chance_bound
        from tokenarium.backend.decoding.drawing import Drawing, Series
        from tokenarium.backend.decoding.premise import LEAST_STEPS, Premise, too_short

        known = lane.calibration
        if len(known.tokens) < LEAST_STEPS:
            return too_short(self.builds_on, len(known.tokens))
        worst = int(np.argmax(known.entropy_nats[: self._open(lane)]))
        lane.give(known.tokens[:worst])
        tokens = lane.now.likeliest(self.candidates)
        texts = min(MOST_ROLLOUTS, MOST_READ // (self.candidates * self.length))
        texts = max(texts, self.rollouts)
        if not self.rollouts or len(tokens) < 2 or lane.ended:
            return Premise(self.builds_on, "fewer than two tokens are compared")
        more = self.model_copy(update={"rollouts": texts})
        values = more.values(lane, lane.fork(tokens))
        counts = [round(value * texts) for value in values]
        flags = [place < count for count in counts for place in range(texts)]
        bound = chance_bound(
            flags, lambda order: float(np.ptp(order.reshape(-1, texts).mean(1))), lane.random
        )
        how = "answer rightly" if lane.right is not None else "end as most of all of them do"
        shares = ", ".join(
            f"{count} after {lane.spell([token])!r}"
            for token, count in zip(tokens, counts, strict=True)
        )
        ranks = [float(rank + 1) for rank in range(len(tokens))]
        spread = max(values) - min(values)
        return Premise(
            self.builds_on,
            f"at step {worst + 1} of plain decoding, of {texts} texts drawn after each token "
            f"{shares} {how}; by chance the highest and the lowest share are {bound:.2f} apart or "
            "less in 95 % of orders",
            spread,
            bound + 0.5 / texts,  # above it: shares come in steps of 1 / texts
            below=False,
            drawing=Drawing(
                f"Texts drawn at step {worst + 1}",
                "rank of the token",
                f"share of texts that {how}",
                (Series("value of the token", ranks, values),),
            ),
        )

    def _open(self, lane: "Lane") -> int:
        """Return at how many steps of plain decoding the answer was still to be written."""
        from tokenarium.backend.decoding.answer import first_line

        tokens = lane.calibration.tokens
        if lane.right is None:
            return len(tokens) - 1
        line = first_line(tokens, lane.spell)
        return next((step for step in range(1, line) if lane.right(tokens[:step])), line)

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
