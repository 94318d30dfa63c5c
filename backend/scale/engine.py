"""Computing by workers: a free one of the model, tried once more where it is lost on the way."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from tokenarium.backend.errors import UserError
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.engine import Computed, LocalEngine, Reports, time_limit
from tokenarium.backend.runs.events import (
    CancelToken,
    Event,
    Partial,
    Progress,
    Queued,
)
from tokenarium.backend.runs.kind import imported, kind_of
from tokenarium.backend.runs.parts import Parts
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
        part: Hashable | None = None,
    ) -> Computed:
        """Compute a run; see ``Engine``.

        Raises:
            UserError: also where two workers were lost one after the other.
        """
        if not request.reads_model:
            return self._local.compute(request, source, reports, cancel, part)
        parts = kind_of(request).parts
        if parts and part is None:
            made: Parts = imported(parts)(request)
            with time_limit(self._settings, cancel):
                return _InParts(self, request, source, made, reports, cancel).compute()
        return self.tried_twice(request, source, reports, cancel, part)

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
        part: Hashable | None,
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
            else:
                for child, asked in children:
                    reports.child(child, asked)
                return computed
        raise AssertionError("the second try returns or raises")

    def remembered(self, source: ModelSource, parts: Parts, part: Hashable) -> str:
        """Return the key of a part in the memo; empty where the model's content is not known."""
        identity = self._identity(source)
        return f"{identity} {parts.key(part)}" if identity else ""


def _followed(
    replica: Replica,
    request: ModelRequest,
    part: Hashable | None,
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
    """A run under way whose parts are computed by as many workers as there are for its model."""

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
        self._stages = list(parts.stages())
        self._total = sum(map(len, self._stages))
        self._done = 0
        self._first: Computed | None = None

    def compute(self) -> Computed:
        """Compute all; what is finished stays known although the rest is cancelled or fails."""
        began = time.perf_counter()
        for stage in self._stages:
            self._at_once(stage)
            self._cancel.check()
        assert self._first is not None
        took_ms = (time.perf_counter() - began) * 1000
        return Computed(self._parts.result(), took_ms, self._first.environment)

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
            said = Reports(self._said, self._reports.child)
            computed = self._engine.tried_twice(
                self._request, self._source, said, self._stopped, part
            )
            if key:
                self._engine.memo.put(key, computed)
        with self._lock:
            self._first = self._first or computed
            self._parts.take(part, computed.result)
            self._done += 1
            self._reports.event(Progress(self._parts.doing(part), self._done, self._total))
            if self._done < self._total:
                self._reports.event(Partial(self._parts.result()))

    def _said(self, event: Event) -> None:
        """Pass on what a worker says of a part; how many parts are done is known here only."""
        if isinstance(event, Progress):
            event = Progress(event.doing, self._done, self._total)
        if not isinstance(event, Partial):
            self._reports.event(event)
