"""What cutting parts out will take, known before it starts and without a weight."""

from dataclasses import dataclass

from tokenarium.backend.ablation.request import AblateRequest
from tokenarium.backend.attribution.check import DRAWS
from tokenarium.backend.attribution.estimate import before_target, time_of
from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.cost.work import Sizes


@dataclass(frozen=True)
class AblateEstimate:
    """What a run will take."""

    tokens: int
    """Before the target."""
    parts: int
    """Heads, attentions, MLPs and layers that are cut."""
    passes: int
    """Readings of the text, the check included."""
    total_ms: float | None = None
    """Milliseconds, from earlier runs; None without one."""


def estimate_run(request: AblateRequest, evidence: Evidence) -> AblateEstimate:
    """Return tokens, parts, readings and time of a run, the time from runs of this machine."""
    sketch, tokens = before_target(request, evidence)
    sizes = Sizes.of(sketch.config)
    parts = sizes.layers * (sizes.heads + 3)
    draws = request.draws if request.ablation == "resample" else 1
    passes = draws * (parts + 2 + DRAWS) + 2
    total = time_of(passes * tokens, evidence.measured(request))
    return AblateEstimate(tokens, parts, passes, total)
