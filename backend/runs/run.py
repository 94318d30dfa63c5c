"""A finished run: request, result, and everything needed to judge and repeat it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tokenarium.backend.runs.request import Request
from tokenarium.backend.runs.result import Result


@dataclass(frozen=True)
class Run:
    """A run as computed or as read back from the store.

    ``environment`` holds commit, device, dtype, library versions and the model's fingerprint.
    ``duration_ms`` is the time of the computation, also when the run came from the cache.
    """

    id: str
    request: Request
    result: Result
    created: datetime
    duration_ms: float
    environment: dict[str, Any]
    cached: bool
    owner: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """Quantities that were not measured by the version that stored it; each is None."""
        return self.result.missing
