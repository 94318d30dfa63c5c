"""What patching two prompts will take, known before it starts and without a weight."""

from dataclasses import dataclass
from itertools import islice

from tokenarium.backend.attribution.target import position_of
from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.cost.work import Sizes
from tokenarium.backend.models.structure import context_of
from tokenarium.backend.patching.request import PatchRequest
from tokenarium.backend.patching.result import PatchResult

_MOST_RUNS = 4
_WORD = 0.75
"""Words a token, about."""


@dataclass(frozen=True)
class PatchEstimate:
    """What a run will take."""

    tokens: int
    """Of the text, before the target."""
    units: int
    """About how many are patched."""
    passes: int
    """Readings of either text, at most."""
    total_ms: float | None = None
    """Milliseconds, from earlier runs; None without one."""


def estimate_run(request: PatchRequest, evidence: Evidence) -> PatchEstimate:
    """Return tokens, units, readings and time of a run, the time from runs of this machine."""
    sketch, limit = evidence.sketch(request), evidence.token_limit
    if not request.past_context:
        limit = min(limit, context_of(sketch.config))
    tokens = position_of(request.target, sketch.count_within(request, limit))
    units = tokens if request.unit == "token" else max(1, round(tokens * _WORD))
    passes = 4 + 3 * Sizes.of(sketch.config).layers * (units + 1)
    paces = [
        run.duration_ms / (run.result.passes * run.result.target_position)
        for run in islice(evidence.measured(request), _MOST_RUNS)
        if isinstance(run.result, PatchResult)
    ]
    total = min(paces) * passes * tokens if paces else None
    return PatchEstimate(tokens, units, passes, total)
