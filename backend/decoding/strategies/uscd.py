"""Contrast with a lame prompt, only where the model is unsure."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.small_model import SmallModel
from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise


class Uscd(Strategy):
    """Where the standard deviation of p over the vocabulary is small, p + weight p' decides.

    p' is what the same model says after a prompt without its examples. Tokens below a share of
    the mean of p are left out, and those where the sum is negative; where none is left, p stays.
    """

    slug = "uscd"
    title = "Selective contrast (USCD)"
    explanation = (
        "Reads a second prompt that lacks the examples, and, where the model is unsure, takes off "
        "what it would have said after that one."
    )
    paper = "Wang et al., 2024, arXiv:2409.05923"
    differs = (
        "the threshold is said as the share of the likeliest token that it amounts to, for the "
        "published number hangs on the size of the vocabulary; where no lame prompt is given, it "
        "is what follows the last line break of the prompt"
    )
    builds_on = "the model is unsure at few steps, and p stays at the others"
    neutral: ClassVar[dict[str, Any]] = {"weight": 0.0}
    published: ClassVar[dict[str, Any]] = {"threshold": 0.0035}

    lame: str = Field(
        "",
        max_length=20_000,
        description="The prompt without its examples; empty takes what follows the last line "
        "break of the prompt.",
    )
    sure: float = Field(
        0.9, ge=0, le=1, description="Share of the likeliest token from which on p stays."
    )
    threshold: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Standard deviation from which on p stays; 0 goes by the share above.",
    )
    weight: float = Field(-0.7, ge=-2, le=0, description="Of what follows the lame prompt.")
    least: float = Field(
        1 / 3, ge=0, le=10, description="Leave out tokens below this share of the mean."
    )

    @property
    def small(self) -> SmallModel:
        """The same model, after another prompt."""
        return SmallModel(prompt=self.lame or "what follows the last line break")

    def most_small_passes(self, new_tokens: int) -> int:
        """One a token."""
        return new_tokens

    def lame_ids(self, lane: "Lane") -> list[int]:
        """Return the lame prompt in tokens; the prompt's first stays where it spells nothing."""
        prompt = lane.stepper.prompt
        first = prompt[:1] if not lane.spell(prompt[:1]).strip() else []
        if self.lame:
            return [*first, *lane.encode(self.lame)] or prompt
        breaks = [place for place, token in enumerate(prompt[:-1]) if "\n" in lane.spell([token])]
        return [*first, *prompt[breaks[-1] + 1 :]] if breaks else prompt

    def decode(self, lane: "Lane") -> None:
        """Contrast where unsure, and take the likeliest token."""
        lane.second.prompt = self.lame_ids(lane)

        def change(logits: "Tensor", _: "Sequence[int]") -> "Tensor":
            probs = logits.softmax(-1)
            if self.certain(probs) or not self.weight:
                return logits
            return self.contrast(probs, lane.second.now.probs).log()

        lane.add_step("contrast with the lame prompt", change)
        while not lane.ended:
            now = lane.now
            spread = float(now.probs.std(correction=0))
            words = "" if self.certain(now.probs) else "unsure: contrasted with the lame prompt"
            lane.take(now.best, score=spread, reason=words)

    def premise(self, lane: "Lane") -> "Premise":
        """Count the steps at which the lame prompt would be asked; one pass over plain decoding."""
        from tokenarium.backend.decoding.premise import doubt_is_rare

        tokens = lane.calibration.tokens
        spreads: list[float] = []
        line = float("nan")
        if tokens:
            lane.stepper.feed(tokens)
            for row in lane.stepper.rows_before(len(tokens)):
                spreads.append(float(row.float().softmax(-1).std(correction=0)))
                line = self._line(len(row))
        what = "standard deviation of p"
        return doubt_is_rare(self.builds_on, spreads, line, what, "", above=False)

    def most_premise_passes(self, new_tokens: int) -> int:
        """One over the text of plain decoding."""
        return min(1, new_tokens)

    def certain(self, probs: "Tensor") -> bool:
        """Return whether p stays as it is: its standard deviation is about sqrt(sum p^2 / V)."""
        return float(probs.std(correction=0)) > self._line(len(probs))

    def _line(self, vocabulary: int) -> float:
        return self.threshold or self.sure / vocabulary**0.5

    def contrast(self, probs: "Tensor", lame: "Tensor") -> "Tensor":
        """Return weights [V] in place of p [V], by p and what follows the lame prompt [V]."""
        kept = probs >= self.least * probs.mean()
        found = (probs + self.weight * lame).clamp_min(0) * kept
        return found if float(found.sum()) > 0 else probs
