"""Dead-end rectification: a token may be no likelier than the text after it is to end well."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import SampledStrategy

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.decoding.branch import Branch
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise


class Rectification(SampledStrategy):
    """With D the chance that a text breaks the constraint after a token, p becomes min(p, 1 - D).

    D is the share of texts, drawn after each of the likeliest tokens, that break it; of every
    other token it is the mean of those.
    """

    slug = "rectification"
    title = "Dead-end rectification"
    explanation = (
        "Draws several texts after each likely token, and lowers a token's probability to the "
        "share of them that keep the constraint."
    )
    paper = "Cao et al., 2023, arXiv:2302.14003"
    differs = (
        "the chance of a dead end is counted in texts that are drawn, where the paper trains a "
        "value function; what is undesired is what breaks the request's constraint"
    )
    builds_on = "some of the texts that are drawn keep the constraint"
    constrained = True
    branches = True
    neutral: ClassVar[dict[str, Any]] = {"rollouts": 0}

    candidates: int = Field(4, ge=1, le=16, description="Likeliest tokens that are tried.")
    rollouts: int = Field(4, ge=0, le=32, description="Texts drawn after each; 0 for plain.")
    length: int = Field(6, ge=1, le=64, description="Tokens of a drawn text.")

    def most_passes(self, new_tokens: int) -> int:
        """Every step draws texts."""
        return new_tokens * (2 + self.length)

    def most_token_steps(self, new_tokens: int) -> int:
        """All of them are read."""
        return new_tokens * (1 + self.candidates * (1 + self.rollouts * self.length))

    def most_premise_passes(self, new_tokens: int) -> int:  # noqa: ARG002
        """Texts are drawn from the prompt on."""
        return 1 + self.length

    def premise(self, lane: "Lane") -> "Premise":
        """Count texts after the likeliest first tokens that keep the constraint."""
        from tokenarium.backend.decoding.drawing import Drawing, Series
        from tokenarium.backend.decoding.premise import Premise

        if lane.allowed is None or not self.rollouts:
            return Premise(self.builds_on, "no constraint is asked for, or no texts are drawn")
        tokens = lane.now.likeliest(self.candidates)
        kept = [1 - dead for dead in self._dead(lane, lane.fork(tokens))]
        share, count = sum(kept) / len(kept), self.rollouts * len(kept)
        return Premise(
            self.builds_on,
            f"{round(share * count)} of {count} texts of up to {self.length + 1} tokens keep it, "
            f"drawn after the {len(kept)} likeliest first tokens; below one in {self.rollouts}, "
            "the texts drawn after a token mostly find none",
            share,
            1 / self.rollouts,
            below=False,
            drawing=Drawing(
                "Texts that keep the constraint",
                "rank of the first token",
                "share of drawn texts",
                (Series("kept", [float(rank + 1) for rank in range(len(kept))], kept),),
            ),
        )

    def step(self, lane: "Lane") -> None:
        """Try the likeliest tokens, and draw from what they leave."""
        from tokenarium.backend.speculation.distribution import sample_one

        now = lane.now
        tokens = now.likeliest(self.candidates)
        if lane.allowed is None or not self.rollouts or len(tokens) < 1:
            lane.take(lane.drawn())
            return
        tried = lane.fork(tokens)
        dead = self._dead(lane, tried)
        lane.consider(tokens, dead, "share of drawn texts that break the constraint")
        changed = capped(now.final, tokens, dead)
        if not float(changed.sum()):
            lane.event("pause", "every drawn text breaks the constraint: plain sampling")
            changed = now.final
        uniform = lane.uniform
        token = int(changed.argmax()) if self.temperature == 0 else sample_one(changed, uniform)
        score = float(changed[token])
        if token in tokens:
            lane.keep(tried[tokens.index(token)], score=score)
        else:
            lane.take(token, score=score)

    def _dead(self, lane: "Lane", tried: "list[Branch]") -> list[float]:
        """Return the share of texts after each token that break the constraint."""
        allowed = lane.allowed
        assert allowed is not None
        broken = {
            branch: not allowed.may_follow(allowed.text(lane.new), branch.tokens[-1])
            for branch in tried
        }
        firm = {branch for branch in tried if broken[branch] or branch.tokens[-1] in lane.ends}
        open_ = {branch: branch for branch in tried if branch not in firm}
        dead = {branch: float(broken[branch]) * self.rollouts for branch in tried}
        ahead = min(self.length, lane.room - 1)
        texts: list[tuple[Branch, Branch]] = [
            (branch, first) for first in open_ for branch in [first] * self.rollouts
        ]
        for _ in range(ahead):
            going = []
            for branch, first in texts:
                token = lane.drawn_after(branch)
                if not allowed.may_follow(allowed.text([*lane.new, *branch.tokens]), token):
                    dead[first] += 1
                elif token not in lane.ends:
                    going.append((branch, token, first))
            if not going:
                break
            made = lane.advance([(branch, token) for branch, token, _ in going])
            texts = [(branch, first) for branch, (_, _, first) in zip(made, going, strict=True)]
        return [dead[branch] / self.rollouts for branch in tried]


def capped(probs: "Tensor", tokens: list[int], dead: list[float]) -> "Tensor":
    """Return the distribution [V] in which no token is likelier than it is to end well.

    Args:
        probs: [V] of sum 1.
        tokens: whose chance of a dead end is known; others have the mean of it.
        dead: that chance of each.
    """
    chance = probs.new_full((len(probs),), sum(dead) / len(dead))
    for token, share in zip(tokens, dead, strict=True):
        chance[token] = share
    changed = probs.minimum(1 - chance)
    total = changed.sum()
    return changed / total if float(total) > 0 else changed
