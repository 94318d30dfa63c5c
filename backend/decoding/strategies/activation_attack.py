"""Activation attack: numbers added to what is read at a few positions, until the model obeys."""

from collections.abc import Sequence
from math import log, log2
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.drawing import Series
from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.decoding.lane import Lane

BITS = 16
"""Bits of a number of an activation, as published."""
FADING, FADING_SQUARE, TINY = 0.9, 0.999, 1e-8
"""Constants of Adam."""


class ActivationAttack(Strategy):
    """An edit P [a, d] is added to the embeddings of a tokens after the prompt, by Adam on ln p.

    Targets are tried in growing numbers, 1, 2, 4, ..., each from the edit before, for as long as
    free greedy decoding says them all; the largest edit that does so stays. With t of them said,
    kappa = t / a and the resistance chi = a d b / (t log2 V), b bits of a number.
    """

    slug = "activation_attack"
    title = "Activation attack"
    explanation = (
        "Adds numbers to what the model reads at a few positions, found by gradient, until it "
        "writes tokens drawn at random: how many tokens one position controls."
    )
    paper = "Fort, 2023, arXiv:2312.02780"
    differs = (
        "the edited positions follow the prompt, and the edit is of their embeddings, which enter "
        "the first layer; fewer steps"
    )
    embeds = True
    watches = ("gradients",)
    neutral: ClassVar[dict[str, Any]] = {"positions": 0}
    published: ClassVar[dict[str, Any]] = {"steps": 150, "rate": 0.05}

    wanted: str = Field(
        "",
        max_length=1000,
        description="What the model shall write; empty draws tokens at random, by the seed.",
    )
    targets: int = Field(4, ge=1, le=64, description="Most tokens that it shall write.")
    positions: int = Field(1, ge=0, le=16, description="Positions that are edited; 0 for none.")
    steps: int = Field(20, ge=1, le=500, description="Steps of the search, for each number.")
    rate: float = Field(0.1, gt=0, le=10, description="How far a step goes.")

    def most_passes(self, new_tokens: int) -> int:
        """Each number of targets takes its steps and a text written freely."""
        return new_tokens + self._rungs * (self.steps + 2 + self.targets)

    def most_token_steps(self, new_tokens: int) -> int:
        """Of edited positions and targets."""
        return new_tokens + self.most_passes(new_tokens) * (self.positions + self.targets)

    def most_rereads(self, new_tokens: int) -> int:  # noqa: ARG002
        """One gradient for every step of the search."""
        return self._rungs * self.steps

    @property
    def _rungs(self) -> int:
        """The most numbers of targets that are tried."""
        return (self.targets.bit_length() + 1) * (self.positions > 0)

    def decode(self, lane: "Lane") -> None:
        """Search for an edit, read it, and go on greedily."""
        if self.positions and lane.room > self.positions and not lane.ended:
            self._attack(lane)
        while not lane.ended:
            lane.take(lane.now.best)

    def _attack(self, lane: "Lane") -> None:
        known = [*lane.calibration.tokens[: self.positions]]
        tokens = known + [lane.now.best] * (self.positions - len(known))
        clean = lane.stepper.embed(tokens)
        edit = clean.float() * 0
        kept, solved, curves = edit, 0, list[Series]()
        wanted = self._wanted(lane, lane.room - self.positions)
        asked, said = list[float](), list[float]()
        for count in rungs(len(wanted)):
            before = sum(len(one.x) for one in curves)
            edit, curve = self._search(lane, tokens, clean, edit, wanted[:count])
            x = [float(before + step + 1) for step in range(len(curve))]
            curves.append(Series(f"{count} targets", x, [value / count for value in curve]))
            right = self.reproduced(lane, (clean + edit).to(clean.dtype), wanted[:count])
            asked.append(float(count))
            said.append(float(right))
            if right < count:
                break
            kept, solved = edit, count
        self._say(lane, (clean + kept).to(clean.dtype), wanted, solved, (curves, asked, said))

    def _wanted(self, lane: "Lane", room: int) -> list[int]:
        most = min(self.targets, room)
        if self.wanted and (ids := lane.encode(self.wanted)):
            return ids[:most]
        size = len(lane.now.logits)
        drawn = lane.random.integers(size, size=4 * most + len(lane.ends)).tolist()
        return [token for token in drawn if token not in lane.ends][:most]

    def _search(
        self,
        lane: "Lane",
        tokens: list[int],
        clean: "Tensor",
        edit: "Tensor",
        targets: list[int],
    ) -> "tuple[Tensor, list[float]]":
        """Return the edit after some steps of Adam, and ln p of the targets before each.

        It ends once ln p is above ln 1/2: every target is then the likeliest.
        """
        mean, square, curve = edit * 0, edit * 0, list[float]()
        for step in range(1, self.steps + 1):
            read = (clean + edit).to(clean.dtype)
            value, slope = lane.stepper.slope(tokens, targets, read)
            curve.append(value)
            if value > -log(2):
                break
            slope = slope.float()
            mean = FADING * mean + (1 - FADING) * slope
            square = FADING_SQUARE * square + (1 - FADING_SQUARE) * slope**2
            spread = (square / (1 - FADING_SQUARE**step)).sqrt() + TINY
            edit = edit + self.rate * (mean / (1 - FADING**step)) / spread
        return edit, curve

    def reproduced(self, lane: "Lane", read: "Tensor", targets: list[int]) -> int:
        """Return how many targets greedy decoding writes by itself after embeddings [a, d]."""
        stepper = lane.stepper
        stepper.feed([-1] * len(read), read)
        right = 0
        while right < len(targets) and int(stepper.logits.argmax()) == targets[right]:
            right += 1
            if right < len(targets):
                stepper.feed([targets[right - 1]])
        stepper.rewind(len(read) + max(0, min(right, len(targets) - 1)))
        return right

    def _say(
        self,
        lane: "Lane",
        read: "Tensor",
        wanted: list[int],
        solved: int,
        found: tuple[list[Series], list[float], list[float]],
    ) -> None:
        """Write down and draw how many targets were reached, then read the edited positions."""
        from tokenarium.backend.decoding.drawing import Drawing

        curves, asked, said = found
        rows, width = read.shape
        words = f"{solved} of {len(wanted)} targets are written freely after {rows} positions"
        if solved:
            bits = log2(len(lane.now.logits))
            chi = rows * width * BITS / (solved * bits)
            more = "at least " if solved == len(wanted) else ""
            words += f": kappa is {more}{solved / rows:.3g}, chi {chi:.4g}"
        lane.event("switch", words, score=solved / rows)
        title = f"ln p of {lane.spell(wanted)!r} a token"
        lane.drawings.append(Drawing(title, "steps", "ln p a token", tuple(curves)))
        lane.drawings.append(
            Drawing(
                "Targets that are written freely",
                "targets",
                "written",
                (Series("written", asked, said), Series("all of them", asked, asked)),
            )
        )
        for row in read:
            if not lane.ended:
                lane.take_embedding(row, reason="an edited position is read")


def rungs(most: int) -> Sequence[int]:
    """Return 1, 2, 4, ... up to a number, and the number itself."""
    return sorted({*(2**power for power in range(most.bit_length())), most})
