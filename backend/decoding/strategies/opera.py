"""Over-trust penalty: a text that leans on one of its own tokens, column by column, is lowered."""

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tokenarium.backend.decoding.branch import Branch
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise
    from tokenarium.backend.decoding.watching_reader import Seen

MOST_SEEN = 64
"""Steps of plain decoding that are looked at, its first."""


class Opera(Strategy):
    """A candidate's logit is lowered by how much the newest tokens attend to one among them.

    With W [n, n] the attention of the last layer among the last n new tokens, the candidate's row
    included, the highest of all heads, a column's score is the product of sigma W below and on the
    diagonal. Where the same column leads in most of the last steps, the text goes back to the
    token after it, and takes another one there.
    """

    slug = "opera"
    title = "Over-trust penalty (OPERA)"
    explanation = (
        "Lowers candidates after which the text would lean on one of its own tokens, and goes back "
        "behind such a token once it has led for long."
    )
    paper = "Huang et al., 2023, arXiv:2311.17911"
    differs = (
        "a text form: the paper is about images, and searches with beams; here the likeliest "
        "tokens are weighed one by one, sigma follows the length, and a column's score is the "
        "geometric mean, which does not grow with the window; the preset takes the product and 50"
    )
    builds_on = "newer tokens lean on one token before them for long at few steps, not as a rule"
    branches = True
    watches = ("attention",)
    neutral: ClassVar[dict[str, Any]] = {"weight": 0.0}
    published: ClassVar[dict[str, Any]] = {
        "sigma": 50.0,
        "score": "product",
        "same": 15,
        "recent": 16,
    }

    window: int = Field(16, ge=2, le=64, description="New tokens that are looked at.")
    sigma: float = Field(
        0.0, ge=0, le=1e4, description="Factor on attention; 0 takes the tokens that are seen."
    )
    score: Literal["geometric mean", "product"] = Field(
        "geometric mean", description="What of a column counts."
    )
    weight: float = Field(1.0, ge=0, le=100, description="Of the highest column in the logit.")
    candidates: int = Field(5, ge=1, le=20, description="Likeliest tokens that are weighed.")
    same: int = Field(6, ge=2, le=64, description="Steps that one column leads before going back.")
    recent: int = Field(8, ge=2, le=64, description="Newest steps that are counted.")
    returns: int = Field(3, ge=0, le=32, description="How often the text goes back at most.")

    def most_premise_passes(self, new_tokens: int) -> int:  # noqa: ARG002
        """Plain decoding is read once more."""
        return 1

    def premise(self, lane: "Lane") -> "Premise":
        """Count the steps of plain decoding at which one column has led for long."""
        from tokenarium.backend.decoding.drawing import Drawing, Series
        from tokenarium.backend.decoding.premise import (
            LEAST_STEPS,
            MOST_SHARE,
            Premise,
            too_short,
        )

        tokens = lane.calibration.tokens[:MOST_SEEN]
        if len(tokens) < max(LEAST_STEPS, self.same + 1):
            return too_short(
                self.builds_on, len(lane.calibration.tokens), max(LEAST_STEPS, self.same + 1)
            )
        lane.stepper.feed(tokens)
        seen = [lane.stepper.seen(back) for back in range(len(tokens))][::-1]
        leading, long = [-1], 0
        for step in range(1, len(tokens)):
            first = step - min(step, self.window - 1)
            leading.append(first + self.leading(self.among(seen[first : step + 1]))[0])
            long += self._summary(leading, step + 1) is not None
        share, steps = long / len(leading), [float(step + 1) for step in range(1, len(tokens))]
        column, times = Counter(leading[1:]).most_common(1)[0]
        return Premise(
            self.builds_on,
            f"at {long} of {len(leading)} steps of plain decoding ({share:.0%}) one of the newest "
            f"tokens has led in {self.same} of the last {self.recent} steps; token {column + 1} "
            f"leads most often, at {times}",
            share,
            MOST_SHARE,
            drawing=Drawing(
                "New tokens that newer ones lean on",
                "step",
                "new token that leads",
                (Series("leads", steps, [float(one + 1) for one in leading[1:]]),),
            ),
        )

    def most_passes(self, new_tokens: int) -> int:
        """Steps that were taken back are done again."""
        return 2 * new_tokens * (1 + self.returns)

    def most_token_steps(self, new_tokens: int) -> int:
        """Every candidate is read."""
        return new_tokens * (1 + self.returns) * (1 + self.candidates)

    def decode(self, lane: "Lane") -> None:
        """Weigh at every step, and go back where one column leads for long."""
        forbidden: dict[tuple[int, ...], set[int]] = {}
        leading, start = [-1] * lane.step, lane.step
        left = self.returns
        while not lane.ended:
            out = forbidden.get(tuple(lane.new), set())
            tokens = [x for x in lane.now.likeliest(self.candidates + len(out)) if x not in out]
            tokens = tokens[: self.candidates]
            if not self.weight or not lane.step or not tokens:
                lane.take(tokens[0] if tokens else lane.now.best)
                leading.append(-1)
                continue
            tried = lane.fork(tokens)
            columns = [self.leading(self.rows(lane, branch)) for branch in tried]
            for branch, (_, phi) in zip(tried, columns, strict=True):
                logit = float(lane.now.logits[branch.tokens[-1]])
                branch.score = logit - self.weight * phi
            lane.consider(tokens, [branch.score for branch in tried], "logit less the penalty")
            best = max(range(len(tried)), key=lambda place: tried[place].score)
            first = lane.step - min(lane.step, self.window - 1)
            lane.keep(tried[best], score=tried[best].score)
            leading.append(first + columns[best][0])
            back = self._summary(leading, lane.step)
            if back is not None and back + 1 >= start and left and not lane.ended:
                left -= 1
                taken = lane.roll_back(
                    lane.step - back - 1, f"token {back + 1} has led {self.same} times"
                )
                del leading[back + 1 :]
                forbidden.setdefault(tuple(lane.new), set()).add(taken[0])

    def _summary(self, leading: list[int], step: int) -> int | None:
        """Return the new token that led long enough, and has others after it; None for none."""
        counted = Counter(column for column in leading[-self.recent :] if column >= 0)
        for column, times in counted.most_common(1):
            if times >= self.same and column + 1 < step:
                return column
        return None

    def rows(self, lane: "Lane", branch: "Branch") -> "Tensor":
        """Return attention [n, n] among the newest tokens of a branch, of the highest head.

        Scaled by sigma; above the diagonal, where nothing is seen, it is 1.
        """
        own = [lane.stepper.seen(back) for back in range(min(lane.step, self.window - 1))][::-1]
        return self.among([*own, lane.stepper.node_seen(branch.nodes[-1])])

    def among(self, seen: "Sequence[Seen]") -> "Tensor":
        """Return attention [n, n] among n tokens, of the highest head, as ``rows`` has it."""
        import torch

        count = len(seen)
        found = torch.ones(count, count)
        for place, one in enumerate(seen):
            assert one.attention is not None
            row = one.attention.float().amax(0)
            known = row[len(row) - place - 1 :].cpu()
            found[place, : place + 1] = (self.sigma or len(row)) * known
        return found

    def leading(self, rows: "Tensor") -> "tuple[int, float]":
        """Return the column of the highest score, the newest token's own left out, and that."""
        import torch

        count = len(rows)
        scores = rows.clamp_min(1e-12).log().sum(0)[: count - 1]
        if self.score == "geometric mean":
            scores = scores / torch.arange(count, 1, -1)
        column = int(scores.argmax())
        return column, float(scores[column].exp())
