"""Tree search: texts are tried out where they seem best, and the most confident one is written."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.branch import Branch
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise

TEXTS, MOST_READ = 16, 24
"""Texts that its premise draws, and tokens of each."""
LEAST_EACH = 3
"""Right and wrong ones among them below which nothing is compared."""


@dataclass(eq=False)
class _Node:
    """A beginning of the text to come."""

    branch: "Branch | None"
    """None for the text itself."""
    prior: float
    children: list["_Node"] = field(default_factory=list)
    visits: int = 0
    total: float = 0.0
    """Sum of the values of texts that went through it."""

    @property
    def value(self) -> float:
        """Mean value; 0 where it was not visited."""
        return self.total / self.visits if self.visits else 0.0

    @property
    def depth(self) -> int:
        """Tokens after the text."""
        return 0 if self.branch is None else len(self.branch.records)


class TreeSearch(Strategy):
    """Monte Carlo tree search whose value is the model's own confidence.

    A text's value is exp(mean ln p) of its new tokens. A beginning is chosen by its mean value
    and c p sqrt(visits of its parent) / (1 + its visits).
    """

    slug = "tree_search"
    title = "Tree search"
    explanation = (
        "Tries continuations of the beginnings that look best so far, finishes each greedily, and "
        "writes the one in which the model is most confident."
    )
    paper = "Wilson, 2024, arXiv:2410.19117"
    differs = (
        "a search looks a number of tokens ahead and writes its best text before the next one; "
        "the paper's title and idea, with the selection rule of AlphaZero"
    )
    builds_on = "the more confident a text, the likelier it is right"
    branches = True
    neutral: ClassVar = {"candidates": 1}

    iterations: int = Field(8, ge=1, le=256, description="Texts that one search tries out.")
    candidates: int = Field(3, ge=1, le=16, description="Tokens that continue a beginning.")
    rollout: int = Field(6, ge=0, le=64, description="Tokens by which a text is finished greedily.")
    explore: float = Field(
        1.0, ge=0, le=10, description="Weight c of what was rarely tried; 0 follows values alone."
    )

    def most_premise_passes(self, new_tokens: int) -> int:
        """Texts are drawn side by side."""
        return min(new_tokens, MOST_READ)

    def premise(self, lane: "Lane") -> "Premise":
        """Draw texts, and compare the confidence of right and wrong ones."""
        import math

        import numpy as np

        from tokenarium.backend.decoding.chance import chance_bound
        from tokenarium.backend.decoding.drawing import Drawing, Series
        from tokenarium.backend.decoding.premise import Premise

        if lane.right is None:
            return Premise(self.builds_on, "the prompt has no right answer to compare with")
        made = lane.fork([lane.drawn_at(lane.now, None) for _ in range(TEXTS)])
        for _ in range(min(lane.room, MOST_READ) - 1):
            going = [one for one in made if one.tokens[-1] not in lane.ends]
            if not going:
                break
            lane.grow({one: lane.drawn_after(one) for one in going})
        sure = np.array([math.exp(sum(one.log_probs) / len(one.log_probs)) for one in made])
        right = [lane.right(one.tokens) for one in made]
        if not LEAST_EACH <= sum(right) <= TEXTS - LEAST_EACH:
            few = f"{sum(right)} of {TEXTS} drawn texts are right, {LEAST_EACH} right and as many "
            return Premise(self.builds_on, f"{few} wrong ones are needed to measure it")

        def surer(flags: "np.typing.NDArray[np.float64]") -> float:
            """Return how often a right text is surer than a wrong one, ties half."""
            good, bad = sure[flags > 0], sure[flags == 0]
            apart = good[:, None] - bad[None]
            return float((apart > 0).mean() + (apart == 0).mean() / 2)

        value = surer(np.asarray(right, np.float64))
        bound = chance_bound(right, surer, lane.random)
        points = {word: sure[np.array(right) == flag].tolist() for word, flag in
                  (("wrong", False), ("right", True))}  # fmt: skip
        return Premise(
            self.builds_on,
            f"{sum(right)} of {TEXTS} drawn texts are right; of pairs of a right and a wrong one "
            f"the right one is the more confident in {value:.0%}, where chance alone gives up to "
            f"{bound:.0%} in 95 % of orders",
            value,
            bound,
            below=False,
            drawing=Drawing(
                "Confidence of drawn texts",
                "confidence, exp(mean ln p)",
                "1 where right",
                tuple(
                    Series(word, x, [float(word == "right")] * len(x)) for word, x in points.items()
                ),
            ),
        )

    def most_passes(self, new_tokens: int) -> int:
        """A search may write a single token."""
        return new_tokens * (self.iterations * (1 + self.rollout) + 1)

    def most_token_steps(self, new_tokens: int) -> int:
        """Candidates are read side by side."""
        return new_tokens * (self.iterations * (self.candidates + self.rollout) + 1)

    def step(self, lane: "Lane") -> None:
        """Search, and write the best text that was found."""
        root = _Node(None, 1.0)
        best: Branch | None = None
        for _ in range(self.iterations):
            path = self._selected(root)
            leaf = path[-1]
            if not self._over(lane, leaf):
                leaf.children = self._expanded(lane, leaf)
                leaf = max(leaf.children, key=lambda node: node.prior)
                path.append(leaf)
            finished = self._finished(lane, leaf)
            if best is None or finished.score > best.score:
                best = finished
            for node in path:
                node.visits += 1
                node.total += finished.score
        assert best is not None
        lane.consider(
            [node.branch.tokens[0] for node in root.children if node.branch],
            [node.value for node in root.children],
        )
        lane.keep(best, score=best.score, reason="the most confident text that was tried")

    def _selected(self, root: _Node) -> list[_Node]:
        """Return the path to the beginning that is tried next."""
        path = [root]
        while path[-1].children:
            above = path[-1]
            path.append(max(above.children, key=lambda node: self.worth(node, above.visits)))
        return path

    def worth(self, node: _Node, above: int) -> float:
        """Return what a beginning is chosen by; ``above``: visits of its parent."""
        return float(node.value + self.explore * node.prior * above**0.5 / (1 + node.visits))

    def _over(self, lane: "Lane", node: _Node) -> bool:
        if node.branch is None:
            return False
        return node.depth >= lane.room or node.branch.tokens[-1] in lane.ends

    def _expanded(self, lane: "Lane", leaf: _Node) -> list[_Node]:
        """Return what continues a beginning, read in one pass."""
        now = lane.now if leaf.branch is None else leaf.branch.now
        tokens = now.likeliest(self.candidates)
        made = lane.fork(tokens, leaf.branch)
        return [
            _Node(branch, now.probability(token))
            for token, branch in zip(tokens, made, strict=True)
        ]

    def _finished(self, lane: "Lane", leaf: _Node) -> "Branch":
        """Return a beginning finished greedily, its value in ``score``."""
        import math

        branch = leaf.branch
        assert branch is not None
        most = min(self.rollout, lane.room - leaf.depth)
        if most and not self._over(lane, leaf):
            [branch] = lane.fork([branch.now.best], branch)
            while len(branch.records) < leaf.depth + most and branch.tokens[-1] not in lane.ends:
                lane.grow({branch: branch.now.best})
        branch.score = math.exp(sum(branch.log_probs) / len(branch.log_probs))
        return branch
