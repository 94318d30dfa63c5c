"""Entropy and varentropy quadrants: what to do depends on which of the two is high."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from tokenarium.backend.decoding.strategy import SampledStrategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.branch import Branch
    from tokenarium.backend.decoding.calibration import Calibration
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.pipeline import Pipeline
    from tokenarium.backend.decoding.premise import Premise
    from tokenarium.backend.decoding.region import Region

Quadrant = Literal["sure", "flat", "forked", "lost", "between"]
REASONS: dict[Quadrant, str] = {
    "sure": "entropy and varentropy are low: the likeliest token",
    "flat": "entropy is high, varentropy low: many tokens alike, drawn warmer",
    "forked": "entropy is low, varentropy high: a few tokens compete, each is tried",
    "lost": "both are high: drawn cooler",
    "between": "",
}
NEVER = float("inf")


class Quadrants(SampledStrategy):
    """Four regions of the plane of entropy and varentropy, each with an answer of its own.

    Regions do not overlap, and what lies in none of them is plainly sampled.
    """

    slug = "quadrants"
    title = "Entropy and varentropy quadrants"
    explanation = (
        "Takes the likeliest token where the model is sure, draws warmer where many tokens are "
        "alike, tries the candidates where a few compete, and draws cooler where it is lost."
    )
    paper = "entropix, xjdr, 2024, github.com/xjdr-alt/entropix; no paper"
    differs = (
        "lines are quantiles of the model's own entropy and varentropy; regions do not overlap as "
        "they do in the code; where both are high it is drawn cooler, and no question is asked"
    )
    branches = True
    builds_on = "entropy and varentropy are high or low apart from each other"
    neutral: ClassVar[dict[str, Any]] = {"low": 0.0, "high": 1.0}
    published: ClassVar[dict[str, Any]] = {
        "low_nats": 0.3,
        "high_nats": 2.5,
        "low_nats2": 1.2,
        "high_nats2": 2.5,
    }

    low: float = Field(0.25, ge=0, le=0.5, description="Quantile below which is low; 0 for none.")
    high: float = Field(0.75, ge=0.5, le=1, description="Quantile above which is high; 1 for none.")
    low_nats: float = Field(
        0.0, ge=0, le=20, description="Entropy below which is low, in nats; 0 takes the quantile."
    )
    high_nats: float = Field(
        0.0, ge=0, le=20, description="Entropy above which is high, in nats; 0 takes the quantile."
    )
    low_nats2: float = Field(
        0.0, ge=0, le=100, description="Varentropy below which is low; 0 takes the quantile."
    )
    high_nats2: float = Field(
        0.0, ge=0, le=100, description="Varentropy above which is high; 0 takes the quantile."
    )
    candidates: int = Field(3, ge=1, le=10, description="Tokens that are tried where few compete.")
    look_ahead: int = Field(3, ge=0, le=16, description="Tokens that each is continued by.")
    warmer: float = Field(1.3, ge=1, le=5, description="Factor of the temperature where alike.")
    cooler: float = Field(0.7, gt=0, le=1, description="Factor of the temperature where lost.")
    _lines: dict[str, float] = PrivateAttr(default_factory=dict)

    def most_passes(self, new_tokens: int) -> int:
        """Every step may look ahead."""
        return new_tokens * (2 + self.look_ahead)

    def most_token_steps(self, new_tokens: int) -> int:
        """Every candidate is read, and continued."""
        return new_tokens * (1 + self.candidates * (1 + self.look_ahead))

    def pipeline(self) -> "Pipeline":
        """Return sampling whose temperature follows the quadrant."""
        from tokenarium.backend.decoding.adaptive_temperature import AdaptiveTemperature

        self._lines.clear()
        return AdaptiveTemperature(**self.sampling(), factor=self._factor)

    def step(self, lane: "Lane") -> None:
        """Do what the quadrant asks for."""
        if not self._lines:
            self._draw_lines(lane)
        now = lane.now
        where = self.quadrant(now.entropy_nats, now.varentropy_nats2)
        if where == "forked" and self.candidates > 1 and self.temperature > 0:
            lane.event("pause", REASONS[where])
            self._try(lane)
            return
        lane.take(lane.drawn(), reason=REASONS[where])

    def quadrant(self, entropy: float, varentropy: float) -> Quadrant:
        """Return the region of a distribution; on a line it is in none."""
        lines = self._lines
        if not lines:
            return "between"
        sure, doubtful = entropy < lines["low"], entropy > lines["high"]
        even, uneven = varentropy < lines["low2"], varentropy > lines["high2"]
        if sure:
            return "sure" if even else "forked" if uneven else "between"
        if doubtful:
            return "flat" if even else "lost" if uneven else "between"
        return "between"

    def _factor(self, entropy: float, varentropy: float) -> float:
        where = self.quadrant(entropy, varentropy)
        return {"sure": 0.0, "flat": self.warmer, "lost": self.cooler}.get(where, 1.0)

    def _draw_lines(self, lane: "Lane") -> None:
        """Take the thresholds that hold in this text."""
        self._lines.update(self._lines_of(lane.calibration))
        low, high = self._lines["low"], self._lines["high"]
        for name, nats in (("sure below", low), ("doubtful above", high)):
            if abs(nats) < NEVER:
                lane.line(name, nats)

    def premise(self, lane: "Lane") -> "Premise":
        """Count which of the four corners plain decoding ever comes to."""
        from tokenarium.backend.decoding.drawing import Drawing, Series
        from tokenarium.backend.decoding.premise import LEAST_STEPS, Premise, too_short

        known = lane.calibration
        entropy, varentropy = known.entropy_nats.tolist(), known.varentropy_nats2.tolist()
        steps = [*zip(entropy, varentropy, strict=True)]
        if len(steps) < LEAST_STEPS:
            return too_short(self.builds_on, len(steps))
        regions = self.regions(known)
        found = {one.name: [step for step in steps if one.has(*step)] for one in regions}
        inside = [step for own in found.values() for step in own]
        found["between"] = [step for step in steps if step not in inside]
        counts = ", ".join(f"{len(own)} {name}" for name, own in found.items())
        return Premise(
            self.builds_on,
            f"of {len(steps)} steps of plain decoding: {counts}",
            float(sum(bool(found[one.name]) for one in regions)),
            float(len(regions)),
            below=False,
            drawing=Drawing(
                "Steps of plain decoding by corner",
                "entropy, nats",
                "varentropy, nats^2",
                tuple(
                    Series(name, [x for x, _ in own], [y for _, y in own])
                    for name, own in found.items()
                ),
            ),
        )

    def regions(self, calibration: "Calibration") -> "tuple[Region, ...]":
        """The four corners; between them it is plainly sampled."""
        from tokenarium.backend.decoding.region import Region

        lines = self._lines_of(calibration)
        sure, doubtful = (-NEVER, lines["low"]), (lines["high"], NEVER)
        even, uneven = (-NEVER, lines["low2"]), (lines["high2"], NEVER)
        return (
            Region("sure", sure, even),
            Region("forked", sure, uneven),
            Region("flat", doubtful, even),
            Region("lost", doubtful, uneven),
        )

    def _lines_of(self, known: "Calibration") -> dict[str, float]:
        low = self.low_nats or (known.entropy(self.low) if self.low > 0 else -NEVER)
        high = self.high_nats or (known.entropy(self.high) if self.high < 1 else NEVER)
        low2 = self.low_nats2 or (known.varentropy(self.low) if self.low > 0 else -NEVER)
        high2 = self.high_nats2 or (known.varentropy(self.high) if self.high < 1 else NEVER)
        return {"low": low, "high": high, "low2": low2, "high2": high2}

    def _try(self, lane: "Lane") -> None:
        """Continue each candidate greedily, and take the one whose path is likeliest."""
        tokens = lane.now.likeliest(self.candidates)
        tried = lane.fork(tokens)
        for _ in range(min(self.look_ahead, lane.room - 1)):
            lane.grow({branch: branch.now.best for branch in tried})
        for branch in tried:
            branch.score = _mean(branch)
        lane.consider(tokens, [branch.score for branch in tried])
        best = max(tried, key=lambda branch: branch.score)
        lane.keep(best, 1, score=best.score, reason="its path is the likeliest")


def _mean(branch: "Branch") -> float:
    return sum(branch.log_probs) / len(branch.log_probs)
