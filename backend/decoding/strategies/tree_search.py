"""Tree search: texts are tried out where they seem best, and the most confident one is written."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.branch import Branch
    from tokenarium.backend.decoding.lane import Lane


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
    branches = True
    neutral: ClassVar = {"candidates": 1}

    iterations: int = Field(8, ge=1, le=256, description="Texts that one search tries out.")
    candidates: int = Field(3, ge=1, le=16, description="Tokens that continue a beginning.")
    rollout: int = Field(6, ge=0, le=64, description="Tokens by which a text is finished greedily.")
    explore: float = Field(
        1.0, ge=0, le=10, description="Weight c of what was rarely tried; 0 follows values alone."
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
