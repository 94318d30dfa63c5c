"""Workers as actors of Ray: on this machine, or in a cluster.

Ray (Moritz et al., 2018, arXiv:1712.05889) starts the processes, carries what is said, and notices
when one ends. A worker belongs to the program that started it and ends with it.
"""

import os
import secrets
import sys
import time
from typing import Any

from tokenarium.backend.environment import StartUpError
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.engine import LocalEngine
from tokenarium.backend.runs.parts import Part
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.scale.engine import Memo, PartMemo, WorkersEngine
from tokenarium.backend.scale.replicas import Bounds, Replicas
from tokenarium.backend.scale.worker import ModelWorker, News, WorkerLost
from tokenarium.backend.settings import Settings

_MEMO = "parts"
"""Name of the actor in a cluster that remembers parts of runs for whoever asks next."""
_NAMESPACE = "tokenarium"
_CALLS_AT_ONCE = 4
"""A worker hears of Cancel while it is asked for news."""
_TRIES, _AGAIN_S = 3, 2.0
"""How often a cluster is tried to be connected to, and the pause between."""
_OWN_BYTES = 2**30
"""Taken by a worker beside its weights: PyTorch, and the activations of a short text."""


def workers_on_ray(
    settings: Settings, local: LocalEngine, registry: ModelRegistry
) -> WorkersEngine:
    """Return an engine whose workers Ray runs, begun or connected to.

    Raises:
        StartUpError: if Ray is not installed, or the cluster cannot be reached.
    """
    cluster = _Cluster(settings, registry)
    bounds = Bounds(
        settings.workers,
        settings.model_workers_min,
        settings.model_workers_max,
        settings.worker_idle_seconds,
    )
    replicas = Replicas(cluster.start, bounds)
    return WorkersEngine(
        settings, local, replicas, registry.fingerprint, cluster.memo(), cluster.close
    )


class _Cluster:
    """Ray, as this program uses it."""

    def __init__(self, settings: Settings, registry: ModelRegistry) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing leaves this machine unasked
        if settings.engine == "ray" and "ray" not in sys.modules:
            # Its ports are open to the network, and whoever may use them may run any code. Where
            # Ray was imported before, it has made up its mind, and takes a token from a file.
            os.environ.setdefault("RAY_AUTH_MODE", "token")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        try:
            import ray
        except ImportError as error:
            raise StartUpError(
                f"--engine {settings.engine} needs Ray: pip install 'tokenarium[scale]', or "
                "--engine local"
            ) from error
        self._ray: Any = ray
        self._settings, self._registry = settings, registry
        self._remote = settings.engine != "ray"
        try:
            self._begin()
        except (ConnectionError, OSError, RuntimeError) as error:
            raise StartUpError(
                f"--engine {settings.engine} cannot be used ({str(error).splitlines()[0]}): check "
                "the address, that the cluster runs, and that its versions of Ray and Python are "
                "this program's"
            ) from error

    def start(self, name: str) -> "_RayWorker":
        """Start a worker of a model where there is room for it; returns at once."""
        used = self._settings.model_copy(
            update={"engine": "local", "database": "duckdb:///:memory:"}
        )
        options: dict[str, Any] = {"num_cpus": 1, "max_concurrency": _CALLS_AT_ONCE}
        if self._settings.device in ("auto", "cuda") and self._ray.cluster_resources().get("GPU"):
            options["num_gpus"] = 1
        parameters = self._registry.info(name).parameters if name else 0
        if parameters:
            options["memory"] = 4 * parameters + _OWN_BYTES
        worker = self._ray.remote(ModelWorker).options(**options)
        before = os.getsid(0) if hasattr(os, "getsid") else 0
        return _RayWorker(self._ray, worker.remote(used, _threads(), before))

    def memo(self) -> Memo:
        """Return what remembers parts: in a cluster an actor that outlives this program."""
        if not self._remote:
            return PartMemo()
        actor = self._ray.remote(PartMemo).options(
            name=_MEMO, lifetime="detached", get_if_exists=True, num_cpus=0, max_restarts=-1
        )
        return _RayMemo(self._ray, actor.remote())

    def close(self) -> None:
        """End Ray, or the connection to it."""
        self._ray.shutdown()

    def _connect(self) -> None:
        """Connect to the cluster, which may have begun just now, or be busy."""
        for left in range(_TRIES - 1, -1, -1):
            try:
                self._ray.init(self._settings.engine, namespace=_NAMESPACE, log_to_driver=False)
                return
            except (ConnectionError, RuntimeError):
                if not left:
                    raise
                time.sleep(_AGAIN_S)

    def _begin(self) -> None:
        if self._remote:
            self._connect()
            return
        self._ray.init(
            "local",
            num_cpus=self._settings.workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            namespace=_NAMESPACE,
        )


def _threads() -> int:
    """Return how many threads this program would compute with; Ray sets workers to fewer."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    return int(named) if named.isdecimal() and int(named) else os.cpu_count() or 1


class _RayWorker:
    """A worker that is an actor; see ``Worker``."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self._beginning: Any = None

    def begin(self, run: str, request: ModelRequest, part: Part | None) -> None:
        """See ``Worker``; the actor begins once its process runs."""
        self._beginning = self._actor.begin.remote(run, request, part)

    def news(self, run: str, wait_s: float) -> News:
        """See ``Worker``; there is none before its process runs."""
        if self._beginning is not None:
            ready, _ = self._ray.wait([self._beginning], timeout=wait_s)
            if not ready:
                return News()
            self._asked(self._beginning)
            self._beginning = None
        found: News = self._asked(self._actor.news.remote(run, wait_s))
        return found

    def cancel(self, run: str, reason: str) -> None:
        """See ``Worker``."""
        self._actor.cancel.remote(run, reason)

    def end(self) -> None:
        """See ``Worker``."""
        self._ray.kill(self._actor)

    def _asked(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except (self._ray.exceptions.RayActorError, ConnectionError) as error:
            raise WorkerLost(str(error).splitlines()[0]) from error


class _RayMemo:
    """A memo that is an actor; where it cannot be reached nothing is remembered."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor

    def get(self, key: str) -> Any:
        """See ``Memo``."""
        try:
            return self._ray.get(self._actor.get.remote(key))
        except (self._ray.exceptions.RayActorError, ConnectionError):
            return None

    def put(self, key: str, computed: Any) -> None:
        """See ``Memo``."""
        self._actor.put.remote(key, computed)
