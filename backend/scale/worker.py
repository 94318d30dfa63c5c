"""A worker: a process that computes runs of one model for the program that started it."""

import logging
import pickle
import threading
import traceback
from dataclasses import dataclass
from typing import Protocol

from tokenarium.backend.errors import in_words
from tokenarium.backend.models.names import NO_MODEL
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.engine import Computed, LocalEngine, Reports
from tokenarium.backend.runs.events import Cancelled, CancelToken, Event, cancelled_by
from tokenarium.backend.runs.lending import ModelLender
from tokenarium.backend.runs.parts import Part
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.scale.priority import stand_back
from tokenarium.backend.settings import Settings


class WorkerLost(Exception):  # noqa: N818 - what became of it, which a second try may mend
    """The worker ended, or cannot be reached any more."""


@dataclass(frozen=True)
class News:
    """What happened in a run since it was asked for last."""

    events: tuple[Event, ...] = ()
    """The latest of each kind."""
    children: tuple[tuple[Computed, ModelRequest], ...] = ()
    """Smaller runs that are to be stored by themselves."""
    outcome: Computed | BaseException | None = None
    """What was computed, or what ended it; None while it runs."""


class Worker(Protocol):
    """A worker as the program sees it; each method raises ``WorkerLost`` where it has ended."""

    def begin(self, run: str, request: ModelRequest, part: Part | None) -> None:
        """Begin to compute a run, or one part of it."""

    def news(self, run: str, wait_s: float) -> News:
        """Return what happened since the last call; waits for it, but no longer than given."""

    def cancel(self, run: str, reason: str) -> None:
        """Stop a run, within a layer of the model."""

    def end(self) -> None:
        """End the worker; its memory is free afterwards."""


class ModelWorker:
    """What runs in the process of a worker.

    Args:
        settings: of the program that started it.
        threads: of each computation, as many as the program itself would use: their number decides
            in which order sums are made.
        before: session of the program, for which the process stands back.
    """

    def __init__(self, settings: Settings, threads: int, before: int | None = None) -> None:
        import torch

        if before is not None:
            stand_back(settings.worker_niceness, before)
        torch.set_num_threads(threads)
        self._settings = settings
        self._registry = ModelRegistry(settings, _Digests())
        self._engine = LocalEngine(settings, ModelLender(self._registry))
        self._runs: dict[str, _Run] = {}

    def begin(self, run: str, request: ModelRequest, part: Part | None) -> None:
        """See ``Worker``."""
        begun = self._runs[run] = _Run()

        def work() -> None:
            begun.end(self._outcome(begun, request, part))

        threading.Thread(target=work, name="run", daemon=True).start()

    def news(self, run: str, wait_s: float) -> News:
        """See ``Worker``; what ended is forgotten once that was said."""
        news = self._runs[run].news(wait_s)
        if news.outcome is not None:
            del self._runs[run]
        return news

    def cancel(self, run: str, reason: str) -> None:
        """See ``Worker``."""
        if (known := self._runs.get(run)) is not None:
            known.cancel.cancel(reason)

    def end(self) -> None:
        """Nothing to do: whoever started the process ends it."""

    def _outcome(
        self, run: "_Run", request: ModelRequest, part: Part | None
    ) -> Computed | BaseException:
        try:
            source = self._registry.resolve(request.home) if request.home else NO_MODEL
            reports = Reports(run.event, run.child)
            with cancelled_by(run.cancel):
                return self._engine.compute(request, source, reports, run.cancel, part)
        except BaseException as error:  # noqa: BLE001 - raised again where the run was asked for
            # Frames of a stopped run hold its activations; the message needs none of them.
            traceback.clear_frames(error.__traceback__)
            return _that_crosses(error)


class _Run:
    """A run in the worker: what its reader does not know yet, and what stops it."""

    def __init__(self) -> None:
        self.cancel = CancelToken()
        self._changed = threading.Condition()
        self._events: dict[type[Event], Event] = {}
        self._children: list[tuple[Computed, ModelRequest]] = []
        self._outcome: Computed | BaseException | None = None

    def event(self, event: Event) -> None:
        with self._changed:
            self._events.pop(type(event), None)
            self._events[type(event)] = event
            self._changed.notify_all()

    def child(self, computed: Computed, request: ModelRequest) -> None:
        with self._changed:
            self._children.append((computed, request))
            self._changed.notify_all()

    def end(self, outcome: Computed | BaseException) -> None:
        with self._changed:
            self._outcome = outcome
            self._changed.notify_all()

    def news(self, wait_s: float) -> News:
        with self._changed:
            self._changed.wait_for(self._any, wait_s)
            news = News(tuple(self._events.values()), tuple(self._children), self._outcome)
            self._events, self._children = {}, []
        return news

    def _any(self) -> bool:
        return bool(self._events or self._children or self._outcome is not None)


class _Digests:
    """Remembers the SHA-256 of files as long as the worker lives."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], str] = {}

    def digest(self, path: str, size: int, mtime_ns: int) -> str | None:
        """Return what was remembered for exactly this file, or None."""
        return self._known.get((path, size, mtime_ns))

    def remember_digest(self, path: str, size: int, mtime_ns: int, digest: str) -> None:
        """Remember the SHA-256 of this file."""
        self._known[path, size, mtime_ns] = digest


def _that_crosses(error: BaseException) -> BaseException:
    """Return an error without its frames, as one that another process can read."""
    known: BaseException = error if isinstance(error, Cancelled) else in_words(error) or error
    if known is error and not isinstance(error, Cancelled):
        logging.getLogger(__name__).error("a run failed", exc_info=error)
    known = known.with_traceback(None)
    known.__cause__ = known.__context__ = None
    try:
        pickle.loads(pickle.dumps(known))  # noqa: S301 - made in this line
    except Exception:  # noqa: BLE001 - whatever it holds
        return RuntimeError(f"{type(error).__name__}: {error}")
    return known
