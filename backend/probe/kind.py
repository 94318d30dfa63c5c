"""The kind of run that probes the heads of a model."""

from tokenarium.backend.probe.request import ProbeRequest
from tokenarium.backend.runs.kind import Kind

KIND = Kind(
    request=ProbeRequest,
    result="tokenarium.backend.probe.result:ProbeResult",
    compute="tokenarium.backend.probe.runner:probe",
    title="Head probe",
)
