"""Whether what a strategy builds on holds for a model: measured before it writes, and drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from tokenarium.backend.decoding.drawing import Drawing, Series

if TYPE_CHECKING:
    from tokenarium.backend.decoding.result import DecodeResult

LEAST_STEPS = 8
"""Steps of plain decoding below which nothing is measured."""
MOST_SHARE = 0.5
"""Share of steps above which a threshold does not tell doubt from the usual: our own line."""

PREMISE: Final = np.dtype(
    [
        ("value", np.float32),
        ("bound", np.float32),
        ("below", np.int8),
        ("holds", np.int8),
        ("passes", np.int32),
        ("drawing", np.int32),
    ]
)
"""Columns of a lane's premise: what was measured, the bound it is compared with, 1 where it holds
at or below the bound and 0 where at or above; 1 where it holds, 0 where not, -1 where it was not
measured; passes that it took; its drawing, -1 for none."""

NO_PREMISE: Final = (float("nan"), float("nan"), 1, -1, 0, -1)
"""The row of a lane without one."""

Verdict = Literal["holds", "does not hold", "was not measured"]


@dataclass(frozen=True)
class Premise:
    """What a strategy takes for granted about a model, measured along the text of plain decoding.

    Args:
        claim: what it builds on, as a clause.
        measured: what was found, as a sentence with its numbers.
        value: the number that decides; NaN where there was too little to measure.
        bound: what it is compared with.
        below: whether the premise holds at or below the bound; else at or above it.
        drawing: the same numbers, drawn.
    """

    claim: str
    measured: str
    value: float = float("nan")
    bound: float = float("nan")
    below: bool = True
    drawing: Drawing | None = field(default=None)

    @property
    def holds(self) -> bool | None:
        """Whether it holds; None where it was not measured."""
        if not (isfinite(self.value) and isfinite(self.bound)):
            return None
        return self.value <= self.bound if self.below else self.value >= self.bound

    @property
    def verdict(self) -> Verdict:
        """The same in words."""
        words: dict[bool | None, Verdict] = {True: "holds", False: "does not hold"}
        return words.get(self.holds, "was not measured")


def too_short(claim: str, steps: int, least: int = LEAST_STEPS) -> Premise:
    """Return a premise that plain decoding was too short to measure."""
    return Premise(
        claim, f"plain decoding took {steps} steps, at least {least} are needed to measure it"
    )


def doubt_is_rare(
    claim: str,
    values: Sequence[float],
    line: float,
    what: str,
    unit: str = "nats",
    above: bool = True,
) -> Premise:
    """Return whether a threshold is passed at no more than half of the steps of plain decoding.

    Args:
        claim: what the strategy builds on.
        values: of every step of plain decoding.
        line: the threshold.
        what: what is compared with it.
        unit: of both; empty for pure numbers.
        above: whether the strategy acts above the line; else at or below it.
    """
    if len(values) < LEAST_STEPS or not isfinite(line):
        return too_short(claim, len(values))
    known = np.sort(np.asarray(values, np.float64))
    acts = known > line if above else known <= line
    share = float(acts.mean())
    places = ((np.arange(len(known)) + 0.5) / len(known)).tolist()
    series = (
        Series("plain decoding", places, known.tolist()),
        Series("threshold", [0, 1], [line, line]),
    )
    side = "above" if above else "not above"
    axis = f"{what}, {unit}" if unit else what
    return Premise(
        claim,
        f"at {int(acts.sum())} of {len(known)} steps of plain decoding ({share:.0%}) the {what} is "
        f"{side} the threshold of {line:.3g}{' ' + unit if unit else ''}",
        share,
        MOST_SHARE,
        drawing=Drawing(
            f"{what.capitalize()} of plain decoding, in order",
            "share of steps below",
            axis,
            series,
        ),
    )


def known_before(results: "Sequence[DecodeResult]", strategy: str) -> str:
    """Return what the newest run of a model found of a strategy's premise, in words.

    Args:
        results: of one model, newest first.
        strategy: slug.
    """
    for result in results:
        for lane in result.lanes:
            premise = lane.premise
            if lane.strategy == strategy and premise is not None and premise.holds is not None:
                return f"its premise {premise.verdict} in an earlier run: {premise.measured}"
    return "whether its premise holds for this model is measured first"
