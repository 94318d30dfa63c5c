"""What cutting parts out will take, known before it starts and without a weight."""

from dataclasses import dataclass
from itertools import islice

from tokenarium.backend.ablation.request import AblateRequest
from tokenarium.backend.ablation.result import AblateResult
from tokenarium.backend.attribution.check import DRAWS
from tokenarium.backend.attribution.target import position_of
from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.cost.work import Sizes
from tokenarium.backend.models.structure import context_of

_MOST_RUNS = 4


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
    sketch, limit = evidence.sketch(request), evidence.token_limit
    if not request.past_context:
        limit = min(limit, context_of(sketch.config))
    tokens = position_of(request.target, sketch.count_within(request, limit))
    sizes = Sizes.of(sketch.config)
    parts = sizes.layers * (sizes.heads + 3)
    draws = request.draws if request.ablation == "resample" else 1
    passes = draws * (parts + 2 + DRAWS) + 2
    paces = [
        run.duration_ms / (run.result.passes * run.result.target_position)
        for run in islice(evidence.measured(request), _MOST_RUNS)
        if isinstance(run.result, AblateResult)
    ]
    total = min(paces) * passes * tokens if paces else None
    return AblateEstimate(tokens, parts, passes, total)
