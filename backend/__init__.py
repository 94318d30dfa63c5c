"""The engine behind the page: one facade, ``Lab``, and the types it takes and returns.

Names load on first use, so that kernels and instruments import without SQL, and a run that comes
from the cache needs neither torch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backend.analysis.noise import (
        accumulated_noise,
        accumulated_noise_by_layer,
        distance_noise,
        entropy_noise,
        received_noise,
        received_noise_by_layer,
    )
    from backend.errors import UserError
    from backend.events import Cancelled, CancelToken, Event, Finished, Partial, Progress, Queued
    from backend.lab import Lab
    from backend.model_info import ModelInfo
    from backend.region.request import RegionRequest
    from backend.region.result import RegionResult
    from backend.requests import ModelRequest, Request, TextRequest
    from backend.results import Quantity, Result
    from backend.run import Run
    from backend.settings import Settings
    from backend.trace.request import TraceRequest
    from backend.trace.result import TraceResult

_HOME = {
    "CancelToken": "backend.events",
    "Cancelled": "backend.events",
    "Event": "backend.events",
    "Finished": "backend.events",
    "Lab": "backend.lab",
    "ModelInfo": "backend.model_info",
    "ModelRequest": "backend.requests",
    "Partial": "backend.events",
    "Progress": "backend.events",
    "Quantity": "backend.results",
    "Queued": "backend.events",
    "RegionRequest": "backend.region.request",
    "RegionResult": "backend.region.result",
    "Request": "backend.requests",
    "Result": "backend.results",
    "Run": "backend.run",
    "Settings": "backend.settings",
    "TextRequest": "backend.requests",
    "TraceRequest": "backend.trace.request",
    "TraceResult": "backend.trace.result",
    "UserError": "backend.errors",
    "accumulated_noise": "backend.analysis.noise",
    "accumulated_noise_by_layer": "backend.analysis.noise",
    "distance_noise": "backend.analysis.noise",
    "entropy_noise": "backend.analysis.noise",
    "received_noise": "backend.analysis.noise",
    "received_noise_by_layer": "backend.analysis.noise",
}

__all__ = [
    "CancelToken",
    "Cancelled",
    "Event",
    "Finished",
    "Lab",
    "ModelInfo",
    "ModelRequest",
    "Partial",
    "Progress",
    "Quantity",
    "Queued",
    "RegionRequest",
    "RegionResult",
    "Request",
    "Result",
    "Run",
    "Settings",
    "TextRequest",
    "TraceRequest",
    "TraceResult",
    "UserError",
    "accumulated_noise",
    "accumulated_noise_by_layer",
    "distance_noise",
    "entropy_noise",
    "received_noise",
    "received_noise_by_layer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'backend' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
