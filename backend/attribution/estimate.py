"""What an attribution will take, known before it starts and without a weight."""

from dataclasses import dataclass
from itertools import islice

from tokenarium.backend.attribution.check import DRAWS, usual_k
from tokenarium.backend.attribution.curve import curve_points
from tokenarium.backend.attribution.request import AttributeRequest
from tokenarium.backend.attribution.result import AttributeResult
from tokenarium.backend.attribution.target import position_of
from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.models.structure import context_of

_MOST_RUNS = 4
_WORD = 0.75
"""Words a token, about."""


@dataclass(frozen=True)
class AttributeEstimate:
    """What a run will take."""

    tokens: int
    """Before the target."""
    units: int
    """About how many are scored."""
    passes: int
    """Texts that the model reads, the check included."""
    needs: str
    """What the method asks of the model."""
    total_ms: float | None = None
    """Milliseconds, from earlier runs of this method; None without one."""


def estimate_run(request: AttributeRequest, evidence: Evidence) -> AttributeEstimate:
    """Return tokens, passes and time of a run, the time from runs of this machine."""
    sketch, limit = evidence.sketch(request), evidence.token_limit
    if not request.past_context:
        limit = min(limit, context_of(sketch.config))
    length = sketch.count_within(request, limit)
    tokens = position_of(request.target, length)
    units = _units(request, tokens)
    method = request.attributor
    passes = 1 + method.passes(units, tokens) + 1 + DRAWS + len(curve_points(units, usual_k(units)))
    paces = [
        run.duration_ms / (run.result.passes * run.result.target_position)
        for run in islice(evidence.measured(request), _MOST_RUNS)
        if isinstance(run.result, AttributeResult)
        and isinstance(run.request, AttributeRequest)
        and run.request.matmul_precision == request.matmul_precision
    ]
    total = min(paces) * passes * tokens if paces else None
    return AttributeEstimate(tokens, units, passes, method.needs, total)


def _units(request: AttributeRequest, tokens: int) -> int:
    given = request.given_text
    if request.unit == "turn":
        return max(1, len(request.messages))
    if request.unit == "sentence":
        return max(1, sum(map(given.count, ".!?")))
    return tokens if request.unit == "token" else max(1, round(tokens * _WORD))
