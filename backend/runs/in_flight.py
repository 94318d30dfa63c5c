"""Runs in flight: what a run will take, and starting, following and cancelling it."""

from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path
from typing import Any

from tokenarium.backend.cost.evidence import Estimate, Evidence
from tokenarium.backend.errors import UserError, told_in_words
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.events import CancelToken, Event, Finished
from tokenarium.backend.runs.executor import RunExecutor
from tokenarium.backend.runs.given import refuse_long
from tokenarium.backend.runs.jobs import RunTicket
from tokenarium.backend.runs.kind import imported, kind_of
from tokenarium.backend.runs.repository import RunRepository
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.runs.run import Run
from tokenarium.backend.settings import Settings


class RunsInFlight:
    """The part of ``Lab`` that answers requests with runs."""

    settings: Settings
    _repository: RunRepository
    _registry: ModelRegistry
    _executor: RunExecutor

    def run(
        self,
        request: ModelRequest,
        *,
        visitor: str = "",
        needs: Collection[str] = (),
        cancel: CancelToken | None = None,
    ) -> Run:
        """Answer ``request`` and wait for it; see ``stream``."""
        return finished(self.stream(request, visitor=visitor, needs=needs, cancel=cancel))

    def import_run(
        self,
        given: str | Path,
        format: str = "auto",  # noqa: A002 - the field's word
        *,
        model: str = "",
        visitor: str = "",
    ) -> Run:
        """Store what another engine reports of its own runs, and return it; no model is needed.

        Args:
            given: a file, as a ``Path`` or the path of one there is, or its content: vLLM's or
                SGLang's responses, llama.cpp's log, JSON lines of ``RecordedLine``; or a response
                with ``logprobs`` in OpenAI's form, which becomes a run of kind ``logprobs``.
            format: slug of a ``Reader``, or ``logprobs``; auto finds out.
            model: its name, where the file does not say.
            visitor: private name of who asks.

        Raises:
            UserError: if it cannot be read, saying what does not fit.
        """
        from tokenarium.backend.imports.files import import_request

        with told_in_words():
            request = import_request(given, format, model)
        return self.run(request, visitor=visitor)

    def stream(
        self,
        request: ModelRequest,
        *,
        visitor: str = "",
        needs: Collection[str] = (),
        cancel: CancelToken | None = None,
    ) -> Generator[Event, None, None]:
        """Answer ``request``, yielding what happens: Queued, Progress and Partial, then Finished.

        A reader that is slow gets the latest event of each kind; one that stops reading and closes
        the generator cancels the run.

        Args:
            request: what to compute, unless it is stored already.
            visitor: private name of who asks.
            needs: quantities that must not be missing: a stored run that an older version made
                without one is computed again, under its id where it is the visitor's own.
            cancel: stops the run from another thread; serves one run.

        Raises:
            UserError: what a person can mend, also when too many wait.
            Cancelled: when cancelled, or over the time limit of hosted mode.
        """
        begun = self._executor.begin(
            request,
            visitor,
            kept=False,
            needs=needs,
            cancel=cancel,
            admit=lambda: self._admit(request, visitor),
        )
        if isinstance(begun, Run):
            yield Finished(begun)
            return
        finished = False
        try:
            for event in begun.events(cancel):
                finished = isinstance(event, Finished)
                yield event
        finally:
            if not finished:
                begun.left()

    def start(
        self, request: ModelRequest, *, visitor: str = "", needs: Collection[str] = ()
    ) -> RunTicket:
        """Begin to answer ``request`` in the background; whoever reads or leaves, it goes on.

        A visitor who asks the same again meanwhile gets the same ticket.

        Args:
            request: what to compute, unless it is stored already.
            visitor: private name of who asks, and who alone may follow or cancel it.
            needs: quantities that must not be missing; see ``stream``.

        Raises:
            UserError: what a person can mend, also when too many wait.
        """
        begun = self._executor.begin(
            request,
            visitor,
            kept=True,
            needs=needs,
            admit=lambda: self._admit(request, visitor),
        )
        if isinstance(begun, Run):
            return RunTicket(begun.id, request, begun.created, stored=True)
        return begun.ticket

    def measure(self, run_id: str, *, visitor: str = "") -> RunTicket:
        """Begin to compute a stored run again, to take its place under the same id.

        What the version that stored it did not measure is measured, and dropped arrays are there
        again; owner and pin stay. ``follow`` the ticket.

        Raises:
            UserError: if there is none, or in hosted mode if it is not the visitor's.
        """
        return self._executor.measure(run_id, visitor).ticket

    def follow(self, run_id: str, *, visitor: str = "") -> Generator[Event, None, None]:
        """Yield what happens to a run: Queued, Progress and Partial, then Finished.

        Begins with the latest event of each kind, whenever it is asked. Any number of readers may
        follow; one that stops reading changes nothing for the run. A run that has ended is
        Finished at once, and for ten minutes what ended it otherwise is raised again.

        Args:
            run_id: as its ticket says, or of a stored run.
            visitor: private name of who started it.

        Raises:
            UserError: if there is no such run, it is another visitor's, or it failed.
            Cancelled: when cancelled, or over the time limit of hosted mode.
        """
        owner = self._repository.owner(visitor)
        job = self._executor.job(run_id, owner)
        if job is not None:
            yield from job.events()
            return
        run = self._executor.outcome(run_id, owner)
        yield Finished(run or self._repository.open(run_id, visitor))

    def cancel(self, run_id: str, *, visitor: str = "") -> bool:
        """Cancel a run in flight, waiting or computing; return False where none has this id.

        Raises:
            UserError: if it is another visitor's.
        """
        job = self._executor.job(run_id, self._repository.owner(visitor))
        if job is None:
            return False
        job.cancel.cancel()
        return True

    def running(self, visitor: str = "") -> tuple[RunTicket, ...]:
        """Return the visitor's runs in flight, waiting or computing, oldest first."""
        return self._executor.running(self._repository.owner(visitor))

    def waiting(self, model: str | None = None) -> int:
        """Return how many runs wait for ``model``, or for any."""
        return self._executor.waiting(model)

    def in_parts(
        self,
        parts: Any,
        request: ModelRequest,
        *,
        emit: Callable[[Event], None] = lambda _: None,
        cancel: CancelToken | None = None,
    ) -> Any:
        """Compute work that consists of parts, and is no run, where runs are computed.

        Local parts come one after another; with ``engine="ray"`` as many go on at once as there may
        be workers of the model, and one whose worker ends is computed once more elsewhere.

        Args:
            parts: the work, see ``Parts``; it is handed each part as soon as it is there.
            request: whose models, number format and limits the parts are computed with.
            emit: receives progress.
            cancel: stops it, within a layer of the model; what was handed over stays.
        Returns: what ``parts.result()`` does at the end.

        Raises:
            UserError: what a person can mend.
            Cancelled: if it was cancelled.
        """
        with told_in_words():
            return self._executor.in_parts(parts, request, emit, cancel or CancelToken())

    @property
    def at_once(self) -> int:
        """How many runs of one model are computed at once."""
        return self._executor.at_once

    def fingerprint(
        self,
        request: ModelRequest,
        *,
        emit: Callable[[Event], None] = lambda _: None,
        cancel: CancelToken | None = None,
    ) -> str:
        """Return the SHA-256 over a request's model and its tokenizer, which is fetched if need be.

        Raises:
            UserError: if the model cannot be had.
        """
        with told_in_words():
            source = self._registry.resolve(request.home)
            found = self._registry.fingerprint(source)
            if found is None:
                lender = self._executor.lender
                with lender.lend(request, source, emit, cancel or CancelToken()) as used:
                    found = used.model.fingerprint
        return found

    def estimate(self, request: ModelRequest, *, visitor: str = "") -> Estimate | None:
        """Return what a run will take; no weight is read. None where its kind cannot say.

        Raises:
            UserError: as the run would, and where the model is not on this machine.
        """
        found = self._estimated(request, visitor)
        self._refuse_beyond_time(found)
        return found

    def _estimated(self, request: ModelRequest, visitor: str) -> Estimate | None:
        with told_in_words():
            kind = kind_of(request)
            refuse_long(request, self.settings.token_limit)
            reads = request.reads_model or request.home
            for name in (request.home, *request.beside) if reads else ():
                self._registry.info(name)
            if not kind.estimate:
                return None
            evidence = Evidence(self.settings, self._repository, self._registry, visitor)
            found: Estimate = imported(kind.estimate)(request, evidence)
            return found

    def _admit(self, request: ModelRequest, visitor: str) -> None:
        """Refuse what would be stopped for its time; whatever else is wrong, the run says."""
        if not self.settings.hosted:
            return
        try:
            found = self._estimated(request, visitor)
        except UserError:
            return
        self._refuse_beyond_time(found)

    def _refuse_beyond_time(self, found: Estimate | None) -> None:
        if found is None or not self.settings.hosted:
            return
        from tokenarium.backend.cost.fits import refuse_beyond_time

        with told_in_words():
            refuse_beyond_time(found.total_ms, self.settings.hosted_max_seconds)


def finished(events: Iterator[Event]) -> Run:
    """Return the run that ``events`` end with."""
    for event in events:
        if isinstance(event, Finished):
            return event.run
    raise AssertionError("events end with Finished or raise")
