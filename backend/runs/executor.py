"""Computes runs, each in a thread of its own when it is its turn, whoever reads or leaves."""

import contextvars
import threading
import time
import traceback
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.errors import in_words, told_in_words
from tokenarium.backend.models.names import NO_MODEL, ModelSource
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.engine import Computed, Engine, LocalEngine, Reports
from tokenarium.backend.runs.events import (
    Cancelled,
    CancelToken,
    Event,
    Finished,
    Queued,
    cancelled_by,
)
from tokenarium.backend.runs.given import refuse_long
from tokenarium.backend.runs.jobs import Job, Jobs, RunTicket, ticket
from tokenarium.backend.runs.kind import imported, kind_of
from tokenarium.backend.runs.lending import ModelLender
from tokenarium.backend.runs.model_queue import ModelQueue
from tokenarium.backend.runs.observed import ObservedRun, Observers
from tokenarium.backend.runs.parts import Parts
from tokenarium.backend.runs.places import Limits, Place
from tokenarium.backend.runs.replicas import alone
from tokenarium.backend.runs.repository import RunRepository
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.runs.run import Run
from tokenarium.backend.runs.serialization import lacking, new_id, new_run, refuse_unknown
from tokenarium.backend.runs.zero_gpu import lent_gpu
from tokenarium.backend.settings import Settings

_CLOSING_S = 5.0
_AT_ONCE_BYTES = 2**26
"""Of a model whose files were never hashed and are larger, a run finds out in its own thread."""


class RunExecutor:
    """Computes what the library does not hold yet, one run at a time per model."""

    def __init__(self, settings: Settings, library: RunRepository, registry: ModelRegistry) -> None:
        self._settings = settings
        self._repository = library
        self._registry = registry
        self.lender = ModelLender(registry)
        local = LocalEngine(settings, self.lender)
        self._engine = _engine(settings, local, registry, self._estimated_ms)
        shared = library.store.take_place if library.store.replicated else None
        self._queue = ModelQueue(
            settings.queue_size, _limits(settings), self._engine.at_once, shared
        )
        self._jobs = Jobs()
        self.observers = Observers()

    def stored(
        self,
        request: ModelRequest,
        source: ModelSource,
        owner: str,
        most_bytes: int | None = None,
    ) -> Run | None:
        """Return the stored answer that ``owner`` may be served; needs no model.

        Args:
            request: what is asked.
            source: its model.
            owner: who asks.
            most_bytes: bytes of a model's files that may be hashed to know it; None for all.
        """
        read = self._identity(request, source, most_bytes)
        return self._repository.find(request, read, owner) if read is not None else None

    def begin(
        self,
        request: ModelRequest,
        visitor: str,
        *,
        kept: bool,
        needs: Collection[str] = (),
        cancel: CancelToken | None = None,
        admit: Callable[[], None] = lambda: None,
    ) -> Run | Job:
        """Return the stored answer, or a run in flight; never waits for either.

        Args:
            request: what to compute.
            visitor: who asks, and whose run it will be in hosted mode.
            kept: whether it goes on when its reader leaves; it is then shared with whoever of the
                same owner asks the same.
            needs: quantities that must not be missing; a stored run of the owner's that lacks one
                is computed again under its id.
            cancel: stops it; None for one of its own.
            admit: called before a new run is computed; raises where it must not be.

        Raises:
            UserError: what a person can mend, also when too many wait.
        """
        with self.observers.refusals(request.kind):
            return self._begin(request, visitor, kept, needs, cancel, admit)

    def _begin(
        self,
        request: ModelRequest,
        visitor: str,
        kept: bool,
        needs: Collection[str],
        cancel: CancelToken | None,
        admit: Callable[[], None],
    ) -> Run | Job:
        owner = self._repository.owner(visitor)
        with told_in_words():
            refuse_long(request, self._settings.token_limit)
            source = self._source(request)
            refuse_unknown(kind_of(request), needs)
            stored = self.stored(request, source, owner, _AT_ONCE_BYTES)
        if stored is not None and not lacking(stored, needs):
            self.observers(ObservedRun(request.kind, source.name, "stored"))
            return stored
        if kept and (job := self._jobs.same(request, owner)):
            return job
        if owner:
            self._queue.admit(visitor)
        admit()
        cancel = cancel or CancelToken()
        if stored is not None and stored.owner == owner:
            return self._replace(ticket(stored.id, request), source, visitor, owner, cancel, kept)
        job = Job(ticket(new_id(), request), owner, cancel, kept, needs=needs)
        self._launch(job, source, visitor)
        return job

    def measure(self, run_id: str, visitor: str) -> Job:
        """Compute a stored run again, to take its place; a second who asks meanwhile shares it.

        Raises:
            UserError: if there is none, it is not the owner's, or what a person can mend.
        """
        owner = self._repository.owner(visitor)
        request, run_owner = self._repository.to_measure(run_id, owner)
        with told_in_words():
            source = self._source(request)
        return self._replace(
            ticket(run_id, request), source, visitor, run_owner, CancelToken(), kept=True
        )

    def job(self, run_id: str, owner: str) -> Job | None:
        """Return the run in flight with this id, if there is one and it is the owner's."""
        return self._jobs.find(run_id, owner)

    def outcome(self, run_id: str, owner: str) -> Run | None:
        """Return a run that ended lately and could not be stored, or raise what ended it."""
        return self._jobs.outcome(run_id, owner)

    def running(self, owner: str) -> tuple[RunTicket, ...]:
        """Return the tickets of an owner's runs in flight, oldest first."""
        return self._jobs.of(owner)

    @property
    def at_once(self) -> int:
        """How many runs of one model are computed at once."""
        return self._engine.at_once

    def waiting(self, name: str | None) -> int:
        """Return how many runs wait for model ``name``, or for any."""
        return self._queue.waiting(name)

    def in_parts(
        self,
        parts: Parts,
        request: ModelRequest,
        emit: Callable[[Event], None],
        cancel: CancelToken,
    ) -> Any:
        """Compute work in parts where runs are computed, past the queue, and return the whole."""
        source = self._source(request)
        return self._engine.in_parts(parts, request, source, Reports(emit, lambda *_: None), cancel)

    def close(self) -> None:
        """Cancel what runs and wait for it briefly."""
        jobs = self._jobs.all()
        for job in jobs:
            job.cancel.cancel("cancelled: the application is closing")
        self._registry.close()
        for job in jobs:
            if job.thread is not None:
                job.thread.join(_CLOSING_S)
        self._engine.close()

    def _estimated_ms(self, request: ModelRequest) -> float | None:
        """Return what a run will take, going by those that everybody may know of."""
        kind = kind_of(request)
        if not kind.estimate:
            return None
        evidence = Evidence(self._settings, self._repository, self._registry, "")
        try:
            found: float | None = imported(kind.estimate)(request, evidence).total_ms
        except ValueError:  # the run will say what is wrong
            return None
        return found

    def _identity(
        self, request: ModelRequest, source: ModelSource, most_bytes: int | None = None
    ) -> str | None:
        """Return what the answer depends on beside the request; None where that is not known."""
        sources = (source, *self.lender.beside(request)) if request.reads_model else ()
        fingerprints = [self._registry.fingerprint(each, most_bytes) or "" for each in sources]
        if not all(fingerprints):
            return None
        read = [*fingerprints, *self.lender.digests(request)]
        return " ".join([*read, *self.lender.rendered(request, source)])

    def _source(self, request: ModelRequest) -> ModelSource:
        none = not (request.reads_model or request.home)
        return NO_MODEL if none else self._registry.resolve(request.home)

    def _replace(
        self,
        ticket: RunTicket,
        source: ModelSource,
        visitor: str,
        run_owner: str,
        cancel: CancelToken,
        kept: bool,
    ) -> Job:
        """Begin to compute what takes the place of a stored run, unless that is in flight."""
        owner = self._repository.owner(visitor)
        job = self._jobs.find(ticket.id, owner)
        if job is not None and job.keep():
            return job
        job = Job(ticket, owner, cancel, kept, run_owner=run_owner, replaces=True)
        self._launch(job, source, visitor)
        return job

    def _launch(self, job: Job, source: ModelSource, visitor: str) -> None:
        known = visitor if job.owner or getattr(visitor, "group", "") else ""
        place = self._queue.join(source.name, known)

        def work() -> None:
            outcome = self._outcome(job, source, place)
            self.observers.ended(job, source.name, outcome)
            stored = isinstance(outcome, Finished) and self._repository.has(outcome.run.id)
            self._jobs.end(job, outcome, stored=stored)

        # The page's own request travels along in context variables.
        context = contextvars.copy_context()
        job.thread = threading.Thread(target=context.run, args=(work,), name="run", daemon=True)
        self._jobs.add(job)
        job.thread.start()

    def _outcome(self, job: Job, source: ModelSource, place: Place) -> Finished | BaseException:
        try:
            with (
                cancelled_by(job.cancel),
                self._queue.turn(place, job.cancel, lambda n: job.channel.put(Queued(n))),
            ):
                job.began = time.perf_counter()
                with alone(
                    job, self._repository, lambda: self._identity(job.ticket.request, source)
                ):
                    return Finished(self._compute(job, source))
        except BaseException as error:  # noqa: BLE001 - raised again where the run is read
            # Frames of a stopped run hold its activations; the message needs none of them.
            traceback.clear_frames(error.__traceback__)
            if isinstance(error, Cancelled):
                return error
            failure = in_words(error) or error
            if failure is not error:
                failure.__cause__ = error
            return failure

    def _compute(self, job: Job, source: ModelSource) -> Run:
        request, owner = job.ticket.request, job.run_owner
        # The one before in the queue may have asked the same.
        stored = None if job.replaces else self.stored(request, source, job.owner)
        if stored is not None and not lacking(stored, job.needs):
            if not job.seal():
                return stored
            # Somebody has the ticket: the run must be found under its id.
            return self._repository.save(replace(stored, id=job.ticket.id, owner=owner))
        if job.answer is not None:  # by the one before, for another visitor
            answer = replace(job.answer, id=job.ticket.id, owner=owner)
            return self._repository.save(answer, replace=job.replaces)

        def child(computed: Computed, asked: ModelRequest) -> None:
            self._repository.save(_run(new_id(), asked, computed, owner))

        reports = Reports(job.channel.put, child)
        computed = self._engine.compute(request, source, reports, job.cancel)
        run = _run(job.ticket.id, request, computed, owner)
        self._jobs.answer(run)
        return self._repository.save(run, replace=job.replaces)


def _engine(
    settings: Settings,
    local: LocalEngine,
    registry: ModelRegistry,
    estimated_ms: Callable[[ModelRequest], float | None],
) -> Engine:
    """Return where runs are computed."""
    if settings.engine == "local":
        return lent_gpu(local, settings.hosted_max_seconds, estimated_ms)
    from tokenarium.backend.scale.ray_workers import workers_on_ray

    return workers_on_ray(settings, local, registry)


def _run(run_id: str, request: ModelRequest, computed: Computed, owner: str) -> Run:
    return new_run(
        run_id, request, computed.result, computed.duration_ms, computed.environment, owner
    )


def _limits(settings: Settings) -> Limits:
    classes = {"per_class": settings.class_requests, "classes": 4 * settings.class_requests}
    if not settings.hosted:
        return Limits(**classes)
    return Limits(
        **classes,
        per_owner=settings.hosted_requests,
        per_address=settings.hosted_address_requests,
        per_unknown=max(1, settings.hosted_requests // 2),
    )
