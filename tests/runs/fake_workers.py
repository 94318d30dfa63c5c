"""Workers in this process, over which all that crosses is pickled, and which a test can kill."""

import pickle
import threading
from collections.abc import Callable

import torch

from tokenarium.backend.models.model_cache import ModelCache
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.engine import LocalEngine
from tokenarium.backend.runs.parts import Part
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.scale.engine import PartMemo, WorkersEngine
from tokenarium.backend.scale.replicas import Bounds, Replicas
from tokenarium.backend.scale.worker import ModelWorker, News, WorkerLost
from tokenarium.backend.settings import Settings

_shelves = [ModelCache() for _ in range(3)]
"""Loaded models, kept from test to test; a worker has one to itself while it lives."""


class FakeWorker:
    """A worker that ends when ``killed`` is set, whatever it does."""

    def __init__(self, inner: ModelWorker) -> None:
        self.inner = inner
        self.killed = threading.Event()
        self.begun: list[tuple[str, Part | None]] = []
        self.ended = False

    def begin(self, run: str, request: ModelRequest, part: Part | None) -> None:
        self._alive()
        self.begun.append((run, part))
        self.inner.begin(*pickle.loads(pickle.dumps((run, request, part))))

    def news(self, run: str, wait_s: float) -> News:
        self._alive()
        news = pickle.loads(pickle.dumps(self.inner.news(run, wait_s)))
        self._alive()
        return news

    def cancel(self, run: str, reason: str) -> None:
        self._alive()
        self.inner.cancel(run, reason)

    def end(self) -> None:
        self.ended = True
        self.killed.set()

    def _alive(self) -> None:
        if self.killed.is_set():
            raise WorkerLost("killed")


class FakeCluster:
    """Starts workers, and knows all it started."""

    def __init__(self) -> None:
        self.on_start: Callable[[FakeWorker], None] = lambda worker: None
        self.workers: list[FakeWorker] = []

    def engine(
        self, settings: Settings, local: LocalEngine, registry: ModelRegistry
    ) -> WorkersEngine:
        """Take the place of ``workers_on_ray``."""

        def start(name: str) -> FakeWorker:
            own = settings.model_copy(update={"engine": "local"})
            inner = ModelWorker(own, torch.get_num_threads())
            inner._registry._shelf = _shelves[len(self.workers) % len(_shelves)]
            worker = FakeWorker(inner)
            self.workers.append(worker)
            self.on_start(worker)
            return worker

        bounds = Bounds(
            settings.workers,
            settings.model_workers_min,
            settings.model_workers_max,
            settings.worker_idle_seconds,
        )
        replicas = Replicas(start, bounds)
        return WorkersEngine(settings, local, replicas, registry.fingerprint, PartMemo())
