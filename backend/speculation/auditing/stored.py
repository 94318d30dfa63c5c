"""Audits a speculative run again, with its models: a stored one too."""

from typing import TYPE_CHECKING

from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.run import Run
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.result import SpeculationResult

if TYPE_CHECKING:
    from tokenarium.backend.runs.lab import Lab
    from tokenarium.backend.speculation.auditing.audit import Audit


def audit(lab: "Lab", run: Run) -> "Audit":
    """Return what an audit of a speculative run finds.

    Args:
        lab: whose models are read anew.
        run: computed just now or long ago.

    Raises:
        UserError: if the run is of another kind, or a model cannot be used.
    """
    request, result = run.request, run.result
    if not isinstance(request, SpeculateRequest) or not isinstance(result, SpeculationResult):
        raise UserError(f"run {run.id} is of kind {run.request.kind!r}: audit a speculative run")
    from tokenarium.backend.speculation.auditing import run as auditing

    with lab.models_of(request) as used:
        draft = used.beside.get(request.draft_model)
        return auditing.audit(result, request, used.model, draft)
