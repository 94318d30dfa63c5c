"""Computing by workers: a free one of the model, tried once more where it is lost on the way."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol

from tokenarium.backend.errors import UserError
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.engine import Computed, LocalEngine, Reports, time_limit
from tokenarium.backend.runs.events import (
    CancelToken,
    Event,
    Progress,
    Queued,
)
from tokenarium.backend.runs.kind import imported, kind_of
from tokenarium.backend.runs.parts import Part, Parts, Taking
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.runs.serialization import new_id
from tokenarium.backend.scale.replicas import Replica, Replicas
from tokenarium.backend.scale.worker import News, WorkerLost
from tokenarium.backend.settings import Settings

AGAIN = "second try, as the worker of the first ended"
STARTING = "starting a worker"
_WAIT_S = 0.1
"""How soon a worker hears of Cancel."""
_MOST_PARTS = 4_096


class Memo(Protocol):
    """Remembers the parts of runs that were computed, so that a run goes on where it stopped."""

    def get(self, key: str) -> Computed | None:
        """Return what was remembered, or None."""

    def put(self, key: str, computed: Computed) -> None:
        """Remember a part."""


class PartMemo:
    """A memo of this process; the least recently used go first. Thread-safe."""

    def __init__(self, most: int = _MOST_PARTS) -> None:
        self._most, self._lock = most, threading.Lock()
        self._parts: OrderedDict[str, Computed] = OrderedDict()

    def get(self, key: str) -> Computed | None:
        """See ``Memo``."""
        with self._lock:
            if key in self._parts:
                self._parts.move_to_end(key)
            return self._parts.get(key)

    def put(self, key: str, computed: Computed) -> None:
        """See ``Memo``."""
        with self._lock:
            self._parts[key] = computed
            self._parts.move_to_end(key)
            while len(self._parts) > self._most:
                self._parts.popitem(last=False)


class WorkersEngine:
    """Has runs computed by workers.

    Args:
        settings: limits of time, and how many runs of a model go on at once.
        local: computes what needs no model.
        replicas: the workers.
        identity: returns what tells a model's content, or None where that is not known.
        memo: of parts.
        close: ends what the workers run on.
    """

    def __init__(
        self,
        settings: Settings,
        local: LocalEngine,
        replicas: Replicas,
        identity: Callable[[ModelSource], str | None],
        memo: Memo,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings, self._local, self._replicas = settings, local, replicas
        self.at_once, self.memo = settings.model_workers_max, memo
        self._identity, self._close = identity, close

    def compute(
        self,
        request: ModelRequest,
        source: ModelSource,
        reports: Reports,
        cancel: CancelToken,
        part: Part | None = None,
    ) -> Computed:
        """Compute a run; see ``Engine``.

        Raises:
            UserError: also where two workers were lost one after the other.
        """
        if not request.reads_model:
            return self._local.compute(request, source, reports, cancel, part)
        if part is not None or not (parts := kind_of(request).parts):
            return self.tried_twice(request, source, reports, cancel, part)
        began = time.perf_counter()
        with time_limit(self._settings, cancel):
            work = _InParts(self, request, source, imported(parts)(request), reports, cancel)
            result = work.compute()
        return Computed(result, (time.perf_counter() - began) * 1000, work.environment)

    def in_parts(
        self,
        parts: Parts,
        request: ModelRequest,
        source: ModelSource,
        reports: Reports,
        cancel: CancelToken,
    ) -> Any:
        """Compute parts by as many workers as there are for the model; see ``Engine``."""
        return _InParts(self, request, source, parts, reports, cancel).compute()

    def close(self) -> None:
        """End the workers."""
        self._replicas.close()
        self._close()

    def tried_twice(
        self,
        request: ModelRequest,
        source: ModelSource,
        reports: Reports,
        cancel: CancelToken,
        part: Part | None,
    ) -> Computed:
        """Compute a run or a part; what a lost worker had of it counts for nothing."""
        event = reports.event
        for attempt in (1, 2):
            children: list[tuple[Computed, ModelRequest]] = []
            try:
                with self._replicas.lend(
                    source.name, cancel.check, lambda place: reports.event(Queued(place))
                ) as replica:
                    if replica.fresh:
                        event(Progress(STARTING, 0, 1))
                    computed = _followed(replica, request, part, event, children, cancel)
            except WorkerLost as lost:
                cancel.check()
                if attempt == 2:
                    raise UserError(
                        f"two workers ended while they computed this ({lost}): it may need more "
                        "memory than they have; take a shorter text or a smaller model"
                    ) from lost
                event = _second(reports.event)
                event(Progress(STARTING, 0, 1))
            except BaseException:
                # Smaller runs that ended before it did are whole, as they are here.
                _report(children, reports)
                raise
            else:
                _report(children, reports)
                return computed
        raise AssertionError("the second try returns or raises")

    def remembered(self, source: ModelSource, parts: Parts, part: Hashable) -> str:
        """Return the key of a part in the memo; empty where it is not to be remembered, or the
        model's content is not known."""
        key = parts.key(part)
        identity = self._identity(source) if key else None
        return f"{identity} {key}" if identity else ""


def _report(children: Sequence[tuple[Computed, ModelRequest]], reports: Reports) -> None:
    for child, asked in children:
        reports.child(child, asked)


def _followed(
    replica: Replica,
    request: ModelRequest,
    part: Part | None,
    event: Callable[[Event], None],
    children: list[tuple[Computed, ModelRequest]],
    cancel: CancelToken,
) -> Computed:
    """Have a worker compute and pass on what it says; it is free again afterwards."""
    worker, run = replica.worker, new_id()
    assert worker is not None
    worker.begin(run, request, part)
    while True:
        news: News = worker.news(run, _WAIT_S)
        for happened in news.events:
            event(happened)
        children.extend(news.children)
        if isinstance(news.outcome, Computed):
            cancel.check()
            return news.outcome
        if news.outcome is not None:
            cancel.check()
            raise news.outcome
        if cancel.cancelled:  # said until it is heard: what begins now hears nothing yet
            worker.cancel(run, "cancelled")


def _second(event: Callable[[Event], None]) -> Callable[[Event], None]:
    """Return ``event``, with what is being done said to be a second try."""

    def said(happened: Event) -> None:
        if isinstance(happened, Progress):
            happened = replace(happened, doing=f"{happened.doing} ({AGAIN})")
        event(happened)

    return said


class _InParts:
    """Work under way whose parts are computed by as many workers as there are for its model."""

    def __init__(
        self,
        engine: WorkersEngine,
        request: ModelRequest,
        source: ModelSource,
        parts: Parts,
        reports: Reports,
        cancel: CancelToken,
    ) -> None:
        self._engine, self._request, self._source = engine, request, source
        self._parts, self._reports, self._cancel = parts, reports, cancel
        self._lock, self._stopped = threading.Lock(), CancelToken()
        self._taking = Taking(parts, reports.event)
        self.environment: dict[str, Any] = {}
        """Of the part that was finished first; empty where there was nothing to compute."""

    def compute(self) -> Any:
        """Compute all; what is finished stays known although the rest is cancelled or fails."""
        for stage in self._taking.stages:
            self._at_once(stage)
            self._cancel.check()
        return self._parts.result()

    def _at_once(self, stage: Sequence[Hashable]) -> None:
        with ThreadPoolExecutor(self._engine.at_once) as pool:
            futures = [pool.submit(self._part, part) for part in stage]
            try:
                while not all(future.done() for future in futures):
                    self._cancel.check()
                    if any(future.done() and future.exception() for future in futures):
                        break
                    time.sleep(_WAIT_S / 2)
                for future in futures:
                    if future.done():
                        future.result()
            except BaseException:
                self._stopped.cancel()
                for future in futures:
                    future.cancel()
                raise

    def _part(self, part: Hashable) -> None:
        self._stopped.check()
        key = self._engine.remembered(self._source, self._parts, part)
        computed = self._engine.memo.get(key) if key else None
        if computed is None:
            said = Reports(self._taking.said, self._reports.child)
            asked = Part(self._parts.compute, part)
            computed = self._engine.tried_twice(
                self._request, self._source, said, self._stopped, asked
            )
            if key:
                self._engine.memo.put(key, computed)
        with self._lock:
            self.environment = self.environment or computed.environment
            self._taking.take(part, computed.result)
