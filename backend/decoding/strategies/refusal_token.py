"""Refusal dial: how likely an answer is to begin as a refusal, and what a push changes."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise


class RefusalToken(Strategy):
    """At the first token, logits of those that open a refusal rise by the push.

    With a threshold, the likeliest of them is taken where their probability together reaches it,
    and none of them where it does not.
    """

    slug = "refusal_token"
    title = "Refusal dial"
    explanation = (
        "Reads how much probability the first token gives to words that open a refusal, pushes it "
        "up or down, or decides by a threshold; then goes on greedily."
    )
    paper = "Jain et al., 2024, arXiv:2412.06748"
    differs = (
        "the paper trains a token for refusals; here the first tokens of openers that one names "
        "stand for it, so that any model has the dial"
    )
    builds_on = "openers of a refusal are within reach at the first token"
    neutral: ClassVar[dict[str, Any]] = {"push": 0.0, "threshold": 0.0}
    published: ClassVar[dict[str, Any]] = {"push": 0.0, "threshold": 0.5}

    openers: str = Field(
        "I'm sorry,I cannot,Sorry,Unfortunately",
        max_length=1000,
        description="Openers of a refusal, with commas between; their first tokens count.",
    )
    push: float = Field(
        3.0, ge=-50, le=50, description="Added to the logits of openers at the first token."
    )
    threshold: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Probability of all openers from which on one is taken; 0 goes by logits.",
    )

    def opening(self, lane: "Lane") -> list[int]:
        """Return the first tokens of the openers, with and without a space before."""
        listed = [one.strip() for one in self.openers.split(",") if one.strip()]
        spelled = [lane.encode(text) for one in listed for text in (one, f" {one}")]
        return sorted({ids[0] for ids in spelled if ids})

    def premise(self, lane: "Lane") -> "Premise":
        """Look where openers stand after the prompt; no pass."""
        from math import log10

        import torch

        from tokenarium.backend.decoding.drawing import Drawing, Series
        from tokenarium.backend.decoding.premise import Premise

        opening = self.opening(lane)
        if not opening:
            return Premise(self.builds_on, "no opener is named")
        now = lane.next_token(lane.stepper.logits, [*lane.stepper.ids])
        log_probs = torch.log_softmax(now.logits, -1)
        top = float(log_probs.max())
        ranks = [log10(1 + now.rank(token)) for token in opening]
        gap, mass = top - float(log_probs[opening].max()), float(now.probs[opening].sum())
        shown = now.top_ids.tolist()
        likeliest = [log10(1 + rank) for rank in range(len(shown))]
        series = [
            Series("likeliest tokens", likeliest, log_probs[shown].tolist()),
            Series("openers", ranks, log_probs[opening].tolist()),
        ]
        if not self.threshold:
            ends = [0.0, max([*ranks, *likeliest])]
            series.append(Series("within reach of the push", ends, [top - self.push] * 2))
        return Premise(
            self.builds_on,
            f"openers have {100 * mass:.3g} % at the first token; the likeliest of them is "
            f"{gap:.2f} nats below the likeliest token, the push is {self.push:g}",
            mass if self.threshold else gap,
            self.threshold or self.push,
            below=not self.threshold,
            drawing=Drawing(
                "The first token: openers of a refusal among all",
                "log10 of the rank, from 1",
                "ln p",
                tuple(series),
            ),
        )

    def decode(self, lane: "Lane") -> None:
        """Decide at the first token, and go on greedily."""
        opening, first = self.opening(lane), len(lane.stepper.prompt)

        def change(logits: "Tensor", path: "Sequence[int]") -> "Tensor":
            if len(path) > first:
                return logits
            changed = logits.clone()
            if not self.threshold:
                changed[opening] += self.push
                return changed
            mass = float(logits.softmax(-1)[opening].sum())
            kept = logits.new_zeros(len(logits)).bool()
            kept[opening] = True
            refuses = mass >= self.threshold
            return changed.masked_fill(~kept if refuses else kept, -float("inf"))

        if opening and (self.push or self.threshold):
            lane.add_step("openers", change)
        mass = float(lane.now.probs[opening].sum()) if opening and not lane.ended else float("nan")
        if not lane.ended and lane.step == 0:
            reason = f"openers of a refusal have {100 * mass:.3g} %"
            lane.take(lane.now.best, score=mass, reason=reason)
        while not lane.ended:
            lane.take(lane.now.best)
