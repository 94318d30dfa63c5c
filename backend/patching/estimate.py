"""What patching two prompts will take, known before it starts and without a weight."""

from dataclasses import dataclass

from tokenarium.backend.attribution.estimate import before_target, time_of
from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.cost.work import Sizes
from tokenarium.backend.patching.request import PatchRequest

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
    sketch, tokens = before_target(request, evidence)
    units = tokens if request.unit == "token" else max(1, round(tokens * _WORD))
    passes = 4 + 3 * Sizes.of(sketch.config).layers * (units + 1)
    total = time_of(passes * tokens, evidence.measured(request))
    return PatchEstimate(tokens, units, passes, total)
