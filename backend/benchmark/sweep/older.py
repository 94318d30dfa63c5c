"""Which runs of older versions still answer their requests."""

from tokenarium.backend.runs.run import Run

REDUCED_FIRST = {"sweep": 2, "point": 4}
"""Schema versions from which the first token of an answer is predicted from the reduced cache."""


def sweep_answers(run: Run, version: int) -> bool:  # noqa: ARG001
    """Return whether the policy had acted before the answer's first token."""
    return version >= REDUCED_FIRST["sweep"]


def point_answers(run: Run, version: int) -> bool:  # noqa: ARG001
    """Return whether the policy had acted before the answer's first token."""
    return version >= REDUCED_FIRST["point"]
