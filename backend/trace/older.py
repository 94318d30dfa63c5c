"""Which traces of older versions still answer their requests."""

from typing import TYPE_CHECKING

from tokenarium.backend.runs.run import Run

if TYPE_CHECKING:
    from tokenarium.backend.trace.result import TraceResult

NORMALISED = 4
"""Schema version from which entropy and distance are of normalised weights."""


def trace_answers(run: Run, version: int) -> bool:
    """Return whether a stored trace is what its request would give today.

    Until version 3 entropy and distance were of weights that a learned sink kept below 1 in sum.
    """
    result: TraceResult = run.result  # type: ignore[assignment]
    return version >= NORMALISED or not result.has_learned_sinks
