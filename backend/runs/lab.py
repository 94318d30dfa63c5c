"""The facade: one question in, one stored run out, whatever happens in between."""

from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Self, TypeVar, overload

import pyarrow as pa

from tokenarium.backend.cost.evidence import Estimate, Evidence
from tokenarium.backend.environment import storage_note
from tokenarium.backend.errors import UserError, told_in_words
from tokenarium.backend.models.info import ModelInfo
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.events import CancelToken, Event, Finished
from tokenarium.backend.runs.examples import install
from tokenarium.backend.runs.executor import ModelsInUse, RunExecutor
from tokenarium.backend.runs.export import (
    MOST_NUMBERS,
    Format,
    TableFormat,
    as_content,
    as_json,
    as_tables,
)
from tokenarium.backend.runs.jobs import RunTicket
from tokenarium.backend.runs.kind import KINDS, Example, Kind, imported, kind_of
from tokenarium.backend.runs.method import FAMILIES, Method
from tokenarium.backend.runs.repository import RunRepository
from tokenarium.backend.runs.request import ModelRequest, Request
from tokenarium.backend.runs.run import Run
from tokenarium.backend.runs.serialization import lacking, refuse_unknown
from tokenarium.backend.settings import Settings
from tokenarium.storage.record import RunRecord

AnyRequest = TypeVar("AnyRequest", bound=Request)
AnyMethod = TypeVar("AnyMethod", bound=Method)


class Lab:
    """Answers requests with runs, from the store or by computing; safe to use from many threads.

    Everything that a person can mend surfaces as ``UserError``. ``visitor`` is the private name of
    who asks; it is required in hosted mode and has no effect outside it.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._repository = RunRepository(self.settings)
        self._registry = ModelRegistry(self.settings, self._repository.store)
        self._registry.prime()
        self._executor = RunExecutor(self.settings, self._repository, self._registry)
        self._examples = install(self._repository)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def request(kind: type[AnyRequest], **values: Any) -> AnyRequest:
        """Return a validated request.

        Raises:
            UserError: naming each value that is out of range.
        """
        with told_in_words():
            return kind(**values)

    def run(
        self,
        request: ModelRequest,
        *,
        visitor: str = "",
        needs: Collection[str] = (),
        cancel: CancelToken | None = None,
    ) -> Run:
        """Answer ``request`` and wait for it; see ``stream``."""
        return _finished(self.stream(request, visitor=visitor, needs=needs, cancel=cancel))

    def stream(
        self,
        request: ModelRequest,
        *,
        visitor: str = "",
        needs: Collection[str] = (),
        cancel: CancelToken | None = None,
    ) -> Generator[Event, None, None]:
        """Answer ``request``, telling what happens: Queued, Progress and Partial, then Finished.

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
            request, self._repository.owner(visitor), kept=False, needs=needs, cancel=cancel
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
            request, self._repository.owner(visitor), kept=True, needs=needs
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
        return self._executor.measure(run_id, self._repository.owner(visitor)).ticket

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
        yield Finished(run or self.open(run_id, visitor=visitor))

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

    def estimate(self, request: ModelRequest, *, visitor: str = "") -> Estimate | None:
        """Return what a run will take; no weight is read. None where its kind cannot say.

        Raises:
            UserError: as the run would, and where the model is not on this machine.
        """
        with told_in_words():
            kind = kind_of(request)
            for name in (request.model, *request.beside):
                self._registry.info(name)
            if not kind.estimate:
                return None
            evidence = Evidence(self.settings, self._repository, self._registry, visitor)
            found: Estimate = imported(kind.estimate)(request, evidence)
            return found

    @contextmanager
    def models_of(self, request: ModelRequest) -> Iterator[ModelsInUse]:
        """Lend the models of a request, to nobody else meanwhile; loads them where needed.

        Raises:
            UserError: if a model cannot be used.
        """
        with told_in_words():
            source = self._registry.resolve(request.model)
            with self._executor.models(request, source, lambda _: None, CancelToken()) as used:
                yield used

    def open(self, run_id: str, *, visitor: str = "", needs: Collection[str] = ()) -> Run:
        """Return a stored run; knowing its id is the permission.

        ``run.missing`` names quantities that the version which stored it did not measure.

        Args:
            run_id: of the run.
            visitor: private name of who asks.
            needs: quantities that must not be missing; the run is measured again for them.

        Raises:
            UserError: if there is none, its arrays were dropped, or its version cannot be read;
                in hosted mode also if ``needs`` asks to measure a run that is not the visitor's.
        """
        run = self._repository.open(run_id, visitor)
        refuse_unknown(KINDS.find(run.request.kind), needs)
        if not lacking(run, needs):
            return run
        ticket = self.measure(run_id, visitor=visitor)
        return _finished(self.follow(ticket.id, visitor=visitor))

    @overload
    def export(self, run_id: str, format: Literal["json"] = "json") -> str: ...

    @overload
    def export(self, run_id: str, format: TableFormat, table: str = "") -> bytes: ...

    @overload
    def export(self, run_id: str, format: Format, table: str = "") -> str | bytes: ...

    def export(
        self,
        run_id: str,
        format: Format = "json",  # noqa: A002 - the field's word
        table: str = "",
    ) -> str | bytes:
        """Return a stored run as a file.

        Args:
            run_id: as in the run's address.
            format: ``json``, one text with the definition of every quantity; ``csv`` or
                ``parquet``, its tables.
            table: name of one table; empty for all of them in one ZIP.

        Raises:
            UserError: if there is none, it cannot be read any more, or format or table is unknown.
        """
        run = self._repository.open(run_id)
        return as_json(run) if format == "json" else as_tables(run, format, table)

    def content(
        self,
        run: Run | str,
        *,
        visitor: str = "",
        quantities: Collection[str] = (),
        most: int = MOST_NUMBERS,
    ) -> dict[str, Any]:
        """Return what ``export`` writes as JSON, as a dictionary without very large quantities.

        Args:
            run: a run, also one that could not be stored, or the id of a stored one.
            visitor: private name of who asks.
            quantities: names of those to return however large; none for all of at most ``most``
                numbers, the rest being named in ``left_out`` with their shapes. A run that an
                older version stored without one is measured again.
            most: numbers of a quantity that nobody named.

        Raises:
            UserError: if there is no such run or quantity, or it cannot be read any more.
        """
        found = self.open(run, visitor=visitor) if isinstance(run, str) else run
        if lacking(found, quantities):
            found = self.open(found.id, visitor=visitor, needs=quantities)
        return as_content(found, quantities, most)

    def search(
        self,
        *,
        visitor: str = "",
        kind: str | None = None,
        text: str | None = None,
        model: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[RunRecord]:
        """Return descriptions of shared runs and of the visitor's own, newest first."""
        return self._repository.search(
            visitor=visitor, kind=kind, text=text, model=model, limit=limit, offset=offset
        )

    def delete(self, run_id: str, *, visitor: str = "") -> None:
        """Delete a run; in hosted mode a visitor's own only.

        Raises:
            UserError: if there is no such run, or it is not the visitor's.
        """
        self._repository.delete(run_id, visitor)

    def pin(self, run_id: str, pinned: bool = True) -> None:
        """Keep the arrays of a run even when space runs out; refused in hosted mode."""
        self._repository.pin(run_id, pinned)

    def query(self, sql: str) -> pa.Table:
        """Return the rows of one SELECT over stored runs; in hosted mode over shared ones only.

        Raises:
            UserError: if it is not one SELECT, or takes too long.
        """
        return self._repository.query(sql)

    @staticmethod
    def kinds() -> tuple[Kind, ...]:
        """Return every kind of run, by title."""
        return KINDS.all()

    @overload
    @staticmethod
    def methods(family: type[AnyMethod]) -> tuple[type[AnyMethod], ...]: ...

    @overload
    @staticmethod
    def methods(family: str) -> tuple[type[Method], ...]: ...

    @staticmethod
    def methods(family: Any) -> tuple[type[Method], ...]:
        """Return every method of a family, by title; a class's fields are its parameters.

        Args:
            family: ``policy``, ``drafter``, ``rule``, ``intervention`` or ``task``, or the base
                class, such as ``Policy``.

        Raises:
            UserError: if there is no such family, naming those there are.
        """
        KINDS.all()  # the families are declared beside the kinds of runs that use them
        registry = FAMILIES.get(family) if isinstance(family, str) else family.registry
        if registry is None:
            raise UserError(f"family={family!r} is unknown: choose {', '.join(sorted(FAMILIES))}")
        found: tuple[type[Method], ...] = registry.all()
        return found

    def examples(self, kind: str) -> tuple[Example, ...]:
        """Return the examples of a kind whose runs are stored, the one for the first paint first.

        Args:
            kind: slug, such as ``trace``.
        """
        return tuple(e for e in self._examples if e.request.kind == kind)

    def models(self) -> list[ModelInfo]:
        """Return the models to offer, with their state."""
        return self._registry.infos()

    def state(self, model: str) -> ModelInfo:
        """Return what is known of one model, loaded or not.

        Raises:
            UserError: if there is no such model, or it is not allowed here.
        """
        return self._registry.info(model)

    def warm(self, model: str) -> None:
        """Load a model in the background; a failure shows in its state.

        Raises:
            UserError: if there is no such model, or it is not allowed here.
        """
        self._registry.warm(model)

    def waiting(self, model: str | None = None) -> int:
        """Return how many runs wait for ``model``, or for any."""
        return self._executor.waiting(model)

    @property
    def storage_note(self) -> str:
        """What to know of stored runs: how long they last, what was done to an older database."""
        upgraded = "" if self.settings.hosted else self._repository.store.upgraded
        return " ".join(filter(None, (storage_note(self.settings), upgraded)))

    def close(self) -> None:
        """Cancel what runs, wait for it briefly, and close the store."""
        self._executor.close()
        self._repository.close()


def _finished(events: Iterator[Event]) -> Run:
    for event in events:
        if isinstance(event, Finished):
            return event.run
    raise AssertionError("events end with Finished or raise")
