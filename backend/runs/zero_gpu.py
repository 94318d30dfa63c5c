"""Computing where a Space lends a GPU for a call (ZeroGPU); elsewhere without effect.

A function that ``spaces.GPU`` decorates runs in a process of its own while the GPU is lent; what it
is given and what it yields are pickled. So a request goes there, and events and numbers come back;
models are those that this process holds or loads itself, and nothing of CUDA leaves it.
"""

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.engine import Computed, Engine, Reports
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.parts import Part, Parts
from tokenarium.backend.runs.request import ModelRequest

MOST_S = 120
"""Seconds that the platform lends a GPU for at most without more rights."""

START_S, MARGIN = 10, 2
"""Seconds for the model to come to the GPU, and how many times what is estimated is asked for: what
takes longer the platform ends, and who asks for less waits less."""

_engines: dict[str, Engine] = {}
"""The engine of this process, and of those forked from it."""


def lent_gpu(
    engine: Engine,
    seconds: float,
    estimated_ms: Callable[[ModelRequest], float | None] = lambda _: None,
) -> Engine:
    """Return an engine that computes while a GPU is lent; ``engine`` itself elsewhere.

    Args:
        engine: that computes in this process.
        seconds: longest computation, for which the GPU is asked for where nothing is known.
        estimated_ms: says what a run will take, as its cost card does; None where nobody can.
    """
    try:
        import spaces
        from spaces.config import Config
    except ImportError:
        return engine
    if not Config.zero_gpu:
        return engine
    _engines["local"] = engine
    most = min(MOST_S, round(seconds))

    def duration(request: ModelRequest, _: ModelSource) -> int:
        known = estimated_ms(request)
        return most if known is None else min(most, round(START_S + MARGIN * known / 1e3))

    decorated = spaces.GPU(duration=duration)(_computed)
    return _LentGpu(decorated)


class _LentGpu:
    """Asks for a GPU and has a run computed there."""

    at_once = 1

    def __init__(self, computed: Callable[[ModelRequest, ModelSource], Generator[Any]]) -> None:
        self._computed = computed

    def close(self) -> None:
        """Nothing to end: the platform ends its processes."""

    def in_parts(
        self,
        parts: Parts,
        request: ModelRequest,
        source: ModelSource,
        reports: Reports,
        cancel: CancelToken,
    ) -> Any:
        """Compute parts in this process, without a GPU: no visitor asks for such work."""
        return _engines["local"].in_parts(parts, request, source, reports, cancel)

    def compute(
        self,
        request: ModelRequest,
        source: ModelSource,
        reports: Reports,
        cancel: CancelToken,
        part: Part | None = None,  # noqa: ARG002 - there is one GPU, for whole runs
    ) -> Computed:
        """Compute a run there; it is left, and ends, at the first event after it is cancelled."""
        with closing(self._computed(request, source)) as there:
            for said in there:
                cancel.check()
                match said:
                    case Computed():
                        return said
                    case (Computed() as child, ModelRequest() as asked):
                        reports.child(child, asked)
                    case BaseException():
                        raise said
                    case _:
                        reports.event(said)
        raise RuntimeError("the process that a GPU was lent to ended without a result")


def _computed(request: ModelRequest, source: ModelSource) -> Generator[Any]:
    """Yield events, smaller runs with their requests, and at last the result or what ended it."""
    said: queue.SimpleQueue[Any] = queue.SimpleQueue()
    cancel = CancelToken()

    def event(happened: Event) -> None:
        said.put(happened)

    def work() -> None:
        reports = Reports(event, lambda child, asked: said.put((child, asked)))
        try:
            said.put(_engines["local"].compute(request, source, reports, cancel))
        except Exception as error:  # noqa: BLE001 - raised again where it was asked for
            said.put(error.with_traceback(None))

    worker = threading.Thread(target=work, name="run", daemon=True)
    worker.start()
    try:
        while True:
            last = said.get()
            yield last
            if isinstance(last, Computed | BaseException):
                return
    finally:
        cancel.cancel("cancelled: nobody reads this run any more")
        worker.join()
