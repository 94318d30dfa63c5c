"""A kind of run that only counts, with every moment of it under a test's control."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tokenarium.backend.runs.events import CancelToken, Event, Partial, Progress
from tokenarium.backend.runs.kind import KINDS, Kind
from tokenarium.backend.runs.request import TextRequest
from tokenarium.backend.runs.result import Result, quantity


@dataclass(frozen=True)
class CountResult(Result):
    """Numbers from 0, as many as asked for."""

    schema_version: ClassVar[int] = 1

    counts: NDArray[np.float32] = quantity("counts", "n", "", "0, 1, 2", "Numbers.")
    pairs: tuple[tuple[str, ...], ...] = quantity("pairs", "n,2", "", "words", "Words.")
    layers_done: int = quantity("layers done", "", "", "steps", "Steps.")
    limit: int = quantity("limit", "", "tokens", "as given to the runner", "Limit.")


class CountRequest(TextRequest):
    """Count, slowly if asked to."""

    kind: ClassVar[str] = "count"

    steps: int = Field(3, ge=0, le=100_000, description="Numbers to count.")
    pause_ms: float = Field(0, ge=0, description="Time for each.")
    fail: str = Field("", description="Raise this.")


KIND = Kind(
    request=CountRequest,
    result="tests.runs.stand_in:CountResult",
    compute="tests.runs.stand_in:count",
    estimate="tests.runs.stand_in:expected",
    title="Count",
)
KINDS.register(KIND)


class Watch:
    """What the runner did, and a gate it waits at."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[str] = []
        self.together: Counter[str] = Counter()
        self.most_together: Counter[str] = Counter()
        self.steps = 0
        self.stopped = threading.Event()
        self.expected_ms: float | None = None


watch = Watch()


def count(
    request: CountRequest,
    loaded: object,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> CountResult:
    with watch.lock:
        watch.calls.append(request.text)
        watch.together[request.model] += 1
        watch.most_together[request.model] = max(
            watch.most_together[request.model], watch.together[request.model]
        )
    try:
        while not watch.gate.wait(0.005):
            cancel.check()
        for step in range(request.steps):
            cancel.check()
            emit(Progress("counting", step, request.steps))
            emit(Partial(_counted(step, limit)))
            watch.steps = step + 1
            time.sleep(request.pause_ms / 1000)
        if request.fail:
            raise {"value": ValueError, "memory": MemoryError, "defect": RuntimeError}[
                request.fail
            ]("steps=3 is odd: take 4")
        return _counted(request.steps, limit)
    finally:
        watch.stopped.set()
        with watch.lock:
            watch.together[request.model] -= 1


@dataclass(frozen=True)
class Expected:
    """What counting is said to take."""

    total_ms: float | None


def expected(request: CountRequest, evidence: object) -> Expected:
    return Expected(watch.expected_ms)


def _counted(n: int, limit: int) -> CountResult:
    return CountResult(
        counts=np.arange(n, dtype=np.float32),
        pairs=(("a", "b"), ("c", "d")),
        layers_done=n,
        limit=limit,
    )
