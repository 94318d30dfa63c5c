"""What a reduction will take, known before it starts and without a weight."""

from dataclasses import dataclass
from itertools import islice

from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.cost.work import Sizes
from tokenarium.backend.reduction.reduction import Reduction
from tokenarium.backend.reduction.request import ReduceRequest
from tokenarium.backend.reduction.result import ReduceResult

_MOST_RUNS = 8
_BEGINNING = 7
"""Readings before the method begins: of each text one as ever and two layer by layer, and one of
the held-out text with nothing cut."""


@dataclass(frozen=True)
class ReduceEstimate:
    """What a run will take."""

    tokens: int
    """Of each of the two texts, at most."""
    readings: float
    """Whole readings of a text, about."""
    cost_title: str
    """Of what a share is computed."""
    total_ms: float | None = None
    """Milliseconds, from earlier runs of this method; None without one."""


def estimate_run(request: ReduceRequest, evidence: Evidence) -> ReduceEstimate:
    """Return tokens, readings and time of a run, the time from runs of this machine."""
    sketch = evidence.sketch(request)
    method: Reduction = request.reduction.method
    readings = method.readings(Sizes.of(sketch.config).layers) + _BEGINNING
    paces: list[float] = []
    for run in islice(evidence.measured(request), _MOST_RUNS):
        assert isinstance(run.request, ReduceRequest)
        assert isinstance(run.result, ReduceResult)
        if run.request.reduction.slug == request.reduction.slug:
            paces.append(run.duration_ms / (run.result.readings * run.result.length))
    tokens = min(request.tokens, method.most_tokens)
    total = min(paces) * readings * tokens if paces else None
    return ReduceEstimate(tokens, readings, method.cost_title, total)
