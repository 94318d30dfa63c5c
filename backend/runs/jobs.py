"""Runs that are being computed or have just ended: whose they are, and who may watch them."""

import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.event_channel import EventChannel
from tokenarium.backend.runs.events import CancelToken, Event, Finished
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.runs.run import Run

KEPT_S = 600.0
"""How long the outcome of a run that ended can still be asked for."""
_MOST_ENDED = 1_000


@dataclass(frozen=True)
class RunTicket:
    """A run that was asked for: in the background, or stored already."""

    id: str
    """The id of the finished run, from the start."""
    request: ModelRequest
    asked: datetime
    stored: bool = False
    """Whether the answer was stored already, so that there is nothing to wait for."""


class Job:
    """One run on its way.

    Args:
        ticket: of the run.
        owner: whose run it is; empty for shared.
        cancel: stops it.
        kept: whether it goes on when its reader leaves.
        run_owner: whose run it will be; None for ``owner``.
        replaces: whether it is computed anew to take the place of the run stored under its id.
        needs: quantities that must not be missing where it is answered from the store.
    """

    def __init__(
        self,
        ticket: RunTicket,
        owner: str,
        cancel: CancelToken,
        kept: bool,
        *,
        run_owner: str | None = None,
        replaces: bool = False,
        needs: Collection[str] = (),
    ) -> None:
        self.ticket, self.owner, self.cancel = ticket, owner, cancel
        self.run_owner = owner if run_owner is None else run_owner
        self.replaces, self.needs = replaces, needs
        self.channel = EventChannel()
        self.thread: threading.Thread | None = None
        self.answer: Run | None = None
        """What an equal request, which was computed while this one waited, was answered with."""
        self.asked, self.began = time.perf_counter(), 0.0
        """When it was asked for, and when its turn came; 0 before."""
        self._lock = threading.Lock()
        self._kept, self._sealed = kept, False

    def keep(self) -> bool:
        """Make it go on whoever leaves; return False where it is too late to rely on it."""
        with self._lock:
            if self._sealed or self.cancel.cancelled:
                return False
            self._kept = True
            return True

    def seal(self) -> bool:
        """Let nobody rely on it from now on; return whether somebody does."""
        with self._lock:
            self._sealed = True
            return self._kept

    def left(self) -> None:
        """Cancel it, unless it is to go on without its reader."""
        with self._lock:
            if self._kept:
                return
            self._sealed = True
        self.cancel.cancel("cancelled: nobody reads this run any more")

    def events(self, cancel: CancelToken | None = None) -> Iterator[Event]:
        """Yield events up to ``Finished``, or raise what ended the run.

        Args:
            cancel: ends the reading at once; None for what stops the run.
        """
        return self.channel.read(cancel or self.cancel)


@dataclass(frozen=True)
class _Ended:
    owner: str
    at: float
    error: BaseException | None
    run: Run | None
    """Only where it could not be stored."""


class Jobs:
    """The runs of one executor, by id. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._ended: OrderedDict[str, _Ended] = OrderedDict()

    def add(self, job: Job) -> None:
        """Add a run that begins; an earlier outcome under its id is forgotten."""
        with self._lock:
            self._jobs[job.ticket.id] = job
            self._ended.pop(job.ticket.id, None)

    def end(self, job: Job, outcome: Finished | BaseException, *, stored: bool) -> None:
        """Keep the outcome for a while, and wake those who follow.

        Args:
            job: that ended.
            outcome: its run, or what ended it.
            stored: whether the run can be read from the store, so that it need not be kept here.
        """
        run = outcome.run if isinstance(outcome, Finished) and not stored else None
        error = outcome if isinstance(outcome, BaseException) else None
        with self._lock:
            if self._jobs.get(job.ticket.id) is job:
                del self._jobs[job.ticket.id]
            self._ended[job.ticket.id] = _Ended(job.owner, time.monotonic(), error, run)
            self._forget()
        job.channel.close(outcome)

    def same(self, request: ModelRequest, owner: str) -> Job | None:
        """Return a run in flight that answers ``request`` for ``owner``, kept from now on."""
        for job in self.all():
            if job.owner == owner and job.ticket.request == request and job.keep():
                return job
        return None

    def answer(self, run: Run) -> None:
        """Hand a run that was just computed to those in flight that ask the same."""
        for job in self.all():
            if job.ticket.request == run.request and job.ticket.id != run.id:
                job.answer = run

    def find(self, run_id: str, owner: str) -> Job | None:
        """Return the run in flight with this id, if there is one.

        Raises:
            UserError: if it is another visitor's.
        """
        with self._lock:
            job = self._jobs.get(run_id)
        _refuse_unless_own(run_id, job, owner)
        return job

    def outcome(self, run_id: str, owner: str) -> Run | None:
        """Return a run that ended lately and could not be stored; None where it can be opened.

        Raises:
            UserError: if it is another visitor's.
            Exception: what ended the run.
        """
        with self._lock:
            self._forget()
            ended = self._ended.get(run_id)
        _refuse_unless_own(run_id, ended, owner)
        if ended is not None and ended.error is not None:
            raise ended.error.with_traceback(None)
        return None if ended is None else ended.run

    def of(self, owner: str) -> tuple[RunTicket, ...]:
        """Return the tickets of an owner's runs in flight, oldest first."""
        return tuple(job.ticket for job in self.all() if job.owner == owner)

    def all(self) -> tuple[Job, ...]:
        """Return the runs in flight, oldest first."""
        with self._lock:
            return tuple(self._jobs.values())

    def _forget(self) -> None:
        """Drop outcomes that are too old; the lock is held."""
        before = time.monotonic() - KEPT_S
        while self._ended:
            run_id, oldest = next(iter(self._ended.items()))
            if oldest.at >= before and len(self._ended) <= _MOST_ENDED:
                return
            del self._ended[run_id]


def ticket(run_id: str, request: ModelRequest) -> RunTicket:
    """Return the ticket of a run that begins now."""
    return RunTicket(run_id, request, datetime.now(UTC))


def _refuse_unless_own(run_id: str, found: Job | _Ended | None, owner: str) -> None:
    if found is not None and found.owner != owner:
        raise UserError(f"run {run_id!r} is not yours: only who started it can watch or stop it")
