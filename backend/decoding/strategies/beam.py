"""Beam search, as transformers does it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.decoding.branch import Branch
    from tokenarium.backend.decoding.lane import Lane

NEVER = float("inf")


@dataclass(frozen=True)
class _Candidate:
    """A beam continued by one token."""

    log_prob: float
    """Sum of ln p of all its tokens."""
    beam: "Branch | None"
    """None for the text itself."""
    token: int
    length: int
    """Tokens of the beam before it."""

    def score(self, length_penalty: float) -> float:
        """Return what finished texts are compared by."""
        return self.log_prob / float((self.length + 1) ** length_penalty)


class Beam(Strategy):
    """Several texts are continued at once, and the likeliest of them go on.

    As in transformers with ``early_stopping=False``: the search ends when as many texts as beams
    are finished and the best open one, at its present length, is no better than the worst of them.
    """

    slug = "beam"
    title = "Beam search"
    explanation = "Continues several texts at once, keeps the likeliest, and writes the best."
    paper = "Lowerre, 1976; Graves, 2012, arXiv:1211.3711"
    branches = True
    neutral: ClassVar = {"beams": 1}

    beams: int = Field(4, ge=1, le=32, description="Texts that are continued at once.")
    length_penalty: float = Field(
        1.0,
        ge=-5,
        le=5,
        description="A finished text's score is its ln p by its length to this power.",
    )

    def most_token_steps(self, new_tokens: int) -> int:
        """Every beam is read."""
        return self.beams * new_tokens

    def decode(self, lane: "Lane") -> None:
        """Search, then write the best text."""
        room = lane.room
        running: list[tuple[Branch | None, float]] = [(None, 0.0)]
        finished: list[_Candidate] = []
        for length in range(room):
            found = self._continued(lane, running, length)
            over = length + 1 == room
            ends = [place for place, one in enumerate(found) if over or one.token in lane.ends]
            done = [found[place] for place in ends if place < self.beams]
            finished = sorted([*finished, *done], key=self._score, reverse=True)[: self.beams]
            left = [one for place, one in enumerate(found) if place not in ends][: self.beams]
            best = left[0].log_prob / float((length + 1) ** self.length_penalty) if left else None
            full = len(finished) == self.beams
            if best is None or (full and best <= self._score(finished[-1])):
                break
            running = self._read(lane, running, left)
        if not finished:
            lane.stop("no token may follow")
            return
        self._write(lane, max(finished, key=self._score))

    def _score(self, candidate: _Candidate) -> float:
        return candidate.score(self.length_penalty)

    def log_probs(self, lane: "Lane", beam: "Branch | None") -> "Tensor":
        """Return what each token [V] adds to a text's score."""
        import torch

        return torch.log_softmax((lane.now if beam is None else beam.now).logits, -1)

    def _continued(
        self, lane: "Lane", running: "list[tuple[Branch | None, float]]", length: int
    ) -> list[_Candidate]:
        """Return the likeliest texts that are one token longer."""
        import torch

        totals = torch.stack([total + self.log_probs(lane, beam) for beam, total in running])
        vocabulary = totals.shape[1]
        count = min(totals.numel(), max(2, 1 + len(lane.ends)) * self.beams)
        top = totals.flatten().topk(count)
        return [
            _Candidate(value, running[place // vocabulary][0], place % vocabulary, length)
            for value, place in zip(top.values.tolist(), top.indices.tolist(), strict=True)
            if value > -NEVER
        ]

    def _read(
        self,
        lane: "Lane",
        running: "list[tuple[Branch | None, float]]",
        left: list[_Candidate],
    ) -> "list[tuple[Branch | None, float]]":
        """Continue the beams that stay, and write down which do not."""
        staying = {one.beam for one in left}
        for beam, _ in running:
            if beam is not None and beam not in staying:
                lane.drop(beam, "other beams are likelier")
        if running[0][0] is None:
            made = lane.fork([one.token for one in left])
        else:
            made = lane.advance([(one.beam, one.token) for one in left if one.beam is not None])
        for branch, one in zip(made, left, strict=True):
            branch.score = self._score(one)
        return [(branch, one.log_prob) for branch, one in zip(made, left, strict=True)]

    def _write(self, lane: "Lane", best: _Candidate) -> None:
        score = self._score(best)
        if best.beam is not None:
            lane.keep(best.beam, best.length, score=score, reason="the best finished text")
        if not lane.ended:
            lane.take(best.token, score=score)
