"""What an attribution will take, known before it starts and without a weight."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from tokenarium.backend.attribution.check import DRAWS, usual_k
from tokenarium.backend.attribution.curve import curve_points
from tokenarium.backend.attribution.request import AttributeRequest
from tokenarium.backend.attribution.target import position_of
from tokenarium.backend.attribution.target_request import TargetRequest
from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.runs.run import Run

if TYPE_CHECKING:
    from tokenarium.backend.cost.sketch import Sketch

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
    _, tokens = before_target(request, evidence)
    units = _units(request, tokens)
    method = request.attributor
    passes = 1 + method.passes(units, tokens) + 1 + DRAWS + len(curve_points(units, usual_k(units)))
    alike = (
        run
        for run in evidence.measured(request)
        if isinstance(run.request, AttributeRequest)
        and run.request.matmul_precision == request.matmul_precision
    )
    total = time_of(passes * tokens, alike)
    return AttributeEstimate(tokens, units, passes, method.needs, total)


def before_target(request: TargetRequest, evidence: Evidence) -> tuple["Sketch", int]:
    """Return the model's shapes and how many tokens stand before the target."""
    sketch = evidence.sketch(request)
    length = sketch.count_within(request, evidence.limit_of(request, sketch))
    return sketch, position_of(request.target, length)


def time_of(token_steps: int, runs: Iterable[Run]) -> float | None:
    """Return the milliseconds that passes take together, by the quickest of a few earlier runs.

    Args:
        token_steps: passes times tokens before the target.
        runs: of one kind, newest first; their results know both too.
    """
    paces = []
    for run in islice(runs, _MOST_RUNS):
        result: Any = run.result
        paces.append(run.duration_ms / (result.passes * result.target_position))
    return min(paces) * token_steps if paces else None


def _units(request: AttributeRequest, tokens: int) -> int:
    given = request.given_text
    if request.unit == "turn":
        return max(1, len(request.messages))
    if request.unit == "sentence":
        return max(1, sum(map(given.count, ".!?")))
    return tokens if request.unit == "token" else max(1, round(tokens * _WORD))
