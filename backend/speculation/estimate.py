"""What drafting can save with a pair of models, from runs that this machine has done."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.result import SpeculationResult
from tokenarium.backend.speculation.sequoia import speedup
from tokenarium.backend.speculation.summary import levels, pace

_STEPS = 40
_EVEN = 0.05


@dataclass(frozen=True)
class SpeculateEstimate:
    """What Run will take, and whether drafting is expected to pay; None where nothing is known."""

    draft_len: int
    runs: int
    """Runs of the same models, drafter, rule and temperature that the numbers come from."""
    acceptance: float | None = None
    """Share of levels at which a drafted token was accepted."""
    cost_ratio: float | None = None
    """Time of drafting one level, by that of a pass of the target that reads one token."""
    verify_ratio: float | None = None
    """Time of a pass that verifies a tree, by that of a pass that reads one token."""
    expected: float | None = None
    """Speed-up by Leviathan et al. at this acceptance, cost ratio and draft length."""
    break_even: float | None = None
    """Least acceptance at which that is 1; None also where no acceptance would do."""
    measured: float | None = None
    """Median of the speed-ups of those runs."""
    total_ms: float | None = None
    """Tokens times the median of their time a token; with autoregressive decoding where asked."""

    @property
    def expected_here(self) -> float | None:
        """``expected``, where a pass that verifies costs what it was measured to cost."""
        if self.expected is None or self.cost_ratio is None or self.verify_ratio is None:
            return None
        drafting = self.draft_len * self.cost_ratio
        return self.expected * (drafting + 1) / (drafting + self.verify_ratio)

    @property
    def pays(self) -> Literal["yes", "no", "about even", "unknown"]:
        """Whether drafting is expected to pay: by the speed-up measured, within 5 % of 1 even."""
        if self.measured is None:
            return "unknown"
        if abs(self.measured - 1) <= _EVEN:
            return "about even"
        return "yes" if self.measured > 1 else "no"


def estimate_run(request: SpeculateRequest, evidence: Evidence) -> SpeculateEstimate:
    """Return what to expect of a request, from earlier runs of these models on this machine."""

    def asked(other: SpeculateRequest) -> tuple[object, ...]:
        return other.drafter.slug, other.beside, other.rule.slug, other.temperature

    done = [
        (run.result, run.duration_ms)
        for run in evidence.measured(request)
        if isinstance(run.result, SpeculationResult)
        and isinstance(run.request, SpeculateRequest)
        and asked(run.request) == asked(request)
    ]
    return estimate(request, done)


def estimate(
    request: SpeculateRequest, runs: Sequence[tuple[SpeculationResult, float]]
) -> SpeculateEstimate:
    """Return what to expect of a request, from earlier runs.

    Args:
        request: what will be asked.
        runs: results of the same models, drafter, rule and temperature, with their total ms.
    """
    usable = [(result, ms) for result, ms in runs if len(result.token_ids) and len(result.rounds)]
    if not usable:
        return SpeculateEstimate(request.draft_len, 0)
    total = float(np.median([ms / len(result.token_ids) for result, ms in usable]))
    accepted = np.concatenate([levels(result).accepted >= 0 for result, _ in usable])
    timed = [result for result, _ in usable if len(result.plain_step_ms)]
    found = SpeculateEstimate(
        request.draft_len,
        len(usable),
        float(accepted.mean()) if len(accepted) else None,
        total_ms=total * request.max_new_tokens,
    )
    if not timed or found.acceptance is None:
        return found
    ratio = float(np.median([_ratio(result) for result in timed]))
    return SpeculateEstimate(
        found.draft_len,
        found.runs,
        found.acceptance,
        ratio,
        float(np.median([_verify_ratio(result) for result in timed])),
        speedup(found.acceptance, request.draft_len, ratio),
        break_even(request.draft_len, ratio),
        float(np.median([pace(result).speedup for result in timed])),
        found.total_ms,
    )


def break_even(draft_len: int, cost_ratio: float) -> float | None:
    """Return the acceptance from which a drafted chain pays; None where none is enough.

    Args:
        draft_len: drafted tokens a round.
        cost_ratio: time of a pass of the draft by that of the target.
    """
    if speedup(1.0, draft_len, cost_ratio) <= 1:
        return None
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if speedup(middle, draft_len, cost_ratio) >= 1 else (middle, high)
    return high


def _ratio(result: SpeculationResult) -> float:
    """Return the time of drafting one level by that of one autoregressive token."""
    depth = max(1, int(result.rounds["depth"].sum()))
    plain = float(np.median(result.plain_step_ms))
    return float(result.rounds["draft_ms"].sum()) / depth / plain


def _verify_ratio(result: SpeculationResult) -> float:
    """Return the time of a verifying pass by that of one autoregressive token."""
    verify, plain = np.median(result.rounds["verify_ms"]), np.median(result.plain_step_ms)
    return float(verify / plain)
