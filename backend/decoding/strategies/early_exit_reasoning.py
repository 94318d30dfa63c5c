"""Early exit of reasoning: the answer is asked for on the way, and reasoning ends once it stays."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.branch import Branch
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise


class EarlyExitReasoning(Strategy):
    """Every few tokens a branch reads the exit string and answers greedily.

    Once as many answers in a row are the same, that branch becomes the text, which ends with it.
    """

    slug = "early_exit_reasoning"
    title = "Early exit of reasoning"
    explanation = (
        "Asks for the answer every few tokens, in a branch, and ends the reasoning once the "
        "answer has stayed the same: what came later was not needed."
    )
    paper = "Dai et al., 2025, arXiv:2505.07686"
    differs = (
        "the paper trains a model on where it could have stopped; here the same cuts are made "
        "while it writes, and no training is done"
    )
    branches = True
    builds_on = "the answer settles before the text is over"
    neutral: ClassVar[dict[str, Any]] = {"every": 0}

    every: int = Field(8, ge=0, le=512, description="Tokens between two questions; 0 asks never.")
    exit_text: str = Field(
        " So the answer is", max_length=200, description="What is read before an answer."
    )
    answer_tokens: int = Field(6, ge=1, le=32, description="Most tokens of an answer.")
    alike: int = Field(2, ge=1, le=16, description="Equal answers in a row after which it stops.")

    def most_passes(self, new_tokens: int) -> int:
        """The exit string is read token by token, as branches are."""
        asked = new_tokens // self.every if self.every else 0
        return new_tokens + asked * (len(self.exit_text) + self.answer_tokens)

    def premise(self, lane: "Lane") -> "Premise":
        """Ask for the answer at places along plain decoding, and see from where on it stays."""
        from tokenarium.backend.decoding.settled import settled

        ids = lane.encode(self.exit_text)
        return settled(
            self.builds_on,
            lane,
            lambda: self._asked(lane, ids).tokens[len(ids) :],
            len(ids) + self.answer_tokens if ids else 0,
        )

    def most_premise_passes(self, new_tokens: int) -> int:
        """Every place is read up to, and the exit string and the answer token by token."""
        from tokenarium.backend.decoding.settled import MOST_CUTS

        return min(MOST_CUTS, new_tokens) * (1 + len(self.exit_text) + self.answer_tokens)

    def decode(self, lane: "Lane") -> None:
        """Write greedily, and ask on the way."""
        ids = lane.encode(self.exit_text)
        answers: list[list[int]] = []
        while not lane.ended:
            due = self.every and lane.step and lane.step % self.every == 0
            if due and ids and lane.room > len(ids):
                branch = self._asked(lane, ids)
                answers.append(branch.tokens[len(ids) :])
                branch.score = sum(branch.log_probs[len(ids) :]) / max(1, len(answers[-1]))
                recent = answers[-self.alike :]
                if len(recent) == self.alike and all(one == recent[0] for one in recent):
                    lane.keep(branch, score=branch.score, reason="the answer stayed the same")
                    if not lane.ended:
                        lane.stop("the answer stayed the same")
                    return
                lane.drop(branch, f"answer {lane.spell(answers[-1])!r} is not settled")
            lane.take(lane.now.best)

    def _asked(self, lane: "Lane", ids: list[int]) -> "Branch":
        """Return a branch that reads the exit string and answers, up to a line's end."""
        [branch] = lane.fork(ids[:1], reason="the answer is asked for")
        for token in ids[1:]:
            lane.grow({branch: token})
        for _ in range(min(self.answer_tokens, lane.room - len(ids))):
            token = branch.now.best
            if token in lane.ends:
                break
            lane.grow({branch: token})
            if "\n" in lane.spell([token]):
                break
        return branch
