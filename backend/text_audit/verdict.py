"""From what was measured to a verdict: at temperature 0 by gaps, above it by a test."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.speculation.auditing.audit import Check
from tokenarium.backend.speculation.auditing.significance import SIGNIFICANCE
from tokenarium.backend.text_audit.measured import Measured
from tokenarium.backend.text_audit.result import Verdict
from tokenarium.backend.text_audit.sampled import LEAST_POWER, SampledTest

LIKELIEST, DRAWABLE, DRAWN, GIVEN, CUT = (
    "every token the likeliest",
    "every token could be drawn",
    "drawn as stated",
    "log probabilities",
    "cut into tokens",
)
"""Names of the checks."""


@dataclass(frozen=True)
class Judged:
    """A verdict, where it is about, and the checks behind it."""

    verdict: Verdict
    position: int
    gap: float
    checks: tuple[Check, ...]


def judge_greedy(found: Measured, tolerance: float) -> Judged:
    """Judge tokens that are said to be the likeliest each.

    Args:
        found: of every token.
        tolerance: logits closer than this may change places.
    """
    behind = np.flatnonzero(found.gap > 0)
    wrong = np.flatnonzero(found.gap > tolerance)
    first = int(next(iter(wrong if len(wrong) else behind), -1))
    gap = float(found.gap[first]) if first >= 0 else float("nan")
    numbers = {
        "tokens": float(len(found.gap)),
        "ties": float(len(behind) - len(wrong)),
        "beyond": float(len(wrong)),
        "tolerance": tolerance,
    }
    if first < 0:
        said = f"All {len(found.gap)} tokens are the model's likeliest, each after those before it."
        return Judged("equal", -1, gap, (Check(LIKELIEST, "passed", said, numbers),))
    at = f"Token {first} is {gap:.3g} nats behind the likeliest"
    if not len(wrong):
        said = (
            f"{at}, and {len(behind)} of {len(found.gap)} are at all: rounding explains gaps up "
            f"to {tolerance:g}."
        )
        return Judged("numeric tie", first, gap, (Check(LIKELIEST, "numeric tie", said, numbers),))
    said = f"{at}; rounding explains {tolerance:g}. {len(wrong)} of {len(found.gap)} are beyond it."
    return Judged("wrong", first, gap, (Check(LIKELIEST, "failed", said, numbers),))


def judge_sampled(found: Measured, tolerance: float, test: SampledTest | None) -> Judged:
    """Judge tokens that are said to be drawn.

    Args:
        found: of every token.
        tolerance: logits closer than this may change places.
        test: of the tokens that could be drawn; None where there was no choice.
    """
    outside = np.flatnonzero(found.outside > 0)
    impossible = np.flatnonzero(found.outside > tolerance)
    count = len(found.outside)
    if len(impossible):
        first = int(impossible[0])
        gap = float(found.outside[first])
        said = (
            f"{len(impossible)} of {count} tokens were left out by top-k, top-p or min-p; the "
            f"first, token {first}, by {gap:.3g} nats, and rounding explains {tolerance:g}."
        )
        numbers = {"tokens": float(count), "impossible": float(len(impossible))}
        failed = Check(DRAWABLE, "failed", said, numbers)
        return Judged("wrong", first, gap, (failed, _drawn(test)))
    if len(outside):
        said = f"{len(outside)} of {count} tokens stand at the edge of a cut, within rounding."
        possible = Check(DRAWABLE, "numeric tie", said, {"edge": float(len(outside))})
    else:
        said = f"Each of {count} tokens has probability under what was stated."
        possible = Check(DRAWABLE, "passed", said, {"tokens": float(count)})
    return Judged(_of_test(test), -1, float("nan"), (possible, _drawn(test)))


def check_given(
    found: Measured, given: NDArray[np.float64], tolerance: float
) -> tuple[Check, NDArray[np.float64]]:
    """Compare log probabilities that were given with the model's own.

    Engines report them before or after temperature and cuts: whichever is closer is meant.

    Args:
        found: of every token.
        given: [S] as given.
        tolerance: of differences of log probabilities, nats.
    Returns: the check, and [S] the model's own.
    """
    ways = {"of the model itself": found.raw_logprob, "after sampling settings": found.logprob}

    def apart(own: NDArray[np.float64]) -> float:
        known = np.where(np.isfinite(own), np.abs(own - given), np.inf)
        return float(np.median(known))

    meant = min(ways, key=lambda name: apart(ways[name]))
    differences = np.abs(np.where(np.isfinite(ways[meant]), ways[meant], -1e9) - given)
    worst, at = float(differences.max()), int(differences.argmax())
    numbers = {"largest": worst, "median": float(np.median(differences)), "token": float(at)}
    said = (
        f"Those given are closest to the ones {meant}: they differ by at most {worst:.2g} nats, "
        f"at token {at}, and by {numbers['median']:.2g} in the middle (fails above {tolerance:g})."
    )
    return Check(GIVEN, "passed" if worst <= tolerance else "failed", said, numbers), ways[meant]


def _of_test(test: SampledTest | None) -> Verdict:
    if test is None:
        return "inconclusive"
    if test.rejects:
        return "wrong"
    return "consistent" if test.power >= LEAST_POWER else "inconclusive"


def _drawn(test: SampledTest | None) -> Check:
    if test is None:
        return Check(DRAWN, "not applicable", "The model leaves no choice at any of these tokens.")
    numbers: dict[str, Any] = {
        "tokens": float(test.tokens),
        "p_value": test.p_value,
        "power": test.power,
        "score": test.score,
        "score_p_value": test.score_p_value,
        "distance": test.distance,
        "distance_p_value": test.distance_p_value,
    }
    said = (
        f"{test.tokens} tokens: the sum of ln p + entropy is {test.score:+.2f} standard deviations "
        f"from what drawing gives (p = {test.score_p_value:.2g}), ranks are {test.distance:.2g} "
        f"from evenly spread (p = {test.distance_p_value:.2g}); p = {test.p_value:.2g} together, "
        f"fails below {SIGNIFICANCE:g}. Drawn at 3/4 or 4/3 of the temperature, a text of this "
        f"length would have failed with a chance of {test.power:.2f} or more."
    )
    if test.rejects:
        return Check(DRAWN, "failed", said, numbers)
    verdict: Any = "passed" if test.power >= LEAST_POWER else "not applicable"
    return Check(DRAWN, verdict, said, numbers)
