"""The kind of run that changes one thing and compares."""

from tokenarium.backend.interventions.request import InterventionRequest
from tokenarium.backend.runs.kind import Kind

KIND = Kind(
    request=InterventionRequest,
    result="tokenarium.backend.interventions.result:InterventionResult",
    compute="tokenarium.backend.interventions.runner:intervene",
    title="Intervention",
    verb="intervene",
)
