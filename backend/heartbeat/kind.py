"""The kind of run that shows when tokens are looked at."""

from tokenarium.backend.heartbeat.request import HeartbeatRequest
from tokenarium.backend.runs.kind import Kind

KIND = Kind(
    request=HeartbeatRequest,
    result="tokenarium.backend.heartbeat.result:HeartbeatResult",
    compute="tokenarium.backend.heartbeat.runner:heartbeat",
    title="Who comes back",
)
