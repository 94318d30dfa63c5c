"""The facade: one question in, one stored run out, whatever happens in between."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pyarrow as pa

import tokenarium.backend.follow.request
import tokenarium.backend.heartbeat.request
import tokenarium.backend.interventions.request
import tokenarium.backend.probe.request
import tokenarium.backend.region.request
import tokenarium.backend.speculation.request
import tokenarium.backend.trace.request  # noqa: F401 - a stored run of this kind can be opened
from tokenarium.backend.benchmark.sweep.request import SweepRequest
from tokenarium.backend.benchmark.task import Task
from tokenarium.backend.benchmark.task import registered as registered_tasks
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.policy import registered as registered_policies
from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cost.estimator import Estimator
from tokenarium.backend.environment import storage_note
from tokenarium.backend.errors import UserError, told_in_words
from tokenarium.backend.interventions.declaration import Intervention, registered
from tokenarium.backend.models.info import ModelInfo
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.events import CancelToken, Event, Finished
from tokenarium.backend.runs.examples import CacheExample, Example, SpeculateExample, install
from tokenarium.backend.runs.executor import RunExecutor
from tokenarium.backend.runs.export import as_json
from tokenarium.backend.runs.repository import RunRepository
from tokenarium.backend.runs.request import ModelRequest, Request
from tokenarium.backend.runs.run import Run
from tokenarium.backend.settings import Settings
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.drafter import registered as registered_drafters
from tokenarium.backend.speculation.matrix import Pair, table
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.result import SpeculationResult
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.rule import registered as registered_rules
from tokenarium.storage.record import RunRecord

if TYPE_CHECKING:
    from tokenarium.backend.benchmark.sweep.estimate import SweepEstimate
    from tokenarium.backend.cache.estimate import CacheEstimate
    from tokenarium.backend.speculation.auditing.audit import Audit
    from tokenarium.backend.speculation.estimate import SpeculateEstimate
    from tokenarium.backend.speculation.teaching import Biases

AnyRequest = TypeVar("AnyRequest", bound=Request)


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
        self._estimator = Estimator(self.settings, self._repository, self._registry)
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
        self, request: ModelRequest, *, visitor: str = "", cancel: CancelToken | None = None
    ) -> Run:
        """Answer ``request`` and wait for it; see ``stream``."""
        for event in self.stream(request, visitor=visitor, cancel=cancel):
            if isinstance(event, Finished):
                return event.run
        raise AssertionError("a stream ends with Finished or raises")

    def stream(
        self, request: ModelRequest, *, visitor: str = "", cancel: CancelToken | None = None
    ) -> Generator[Event, None, None]:
        """Answer ``request``, telling what happens: Queued, Progress and Partial, then Finished.

        A reader that is slow gets the latest event of each kind; one that stops reading and closes
        the generator cancels the run.

        Args:
            request: what to compute, unless it is stored already.
            visitor: private name of who asks.
            cancel: stops the run from another thread; serves one run.

        Raises:
            UserError: what a person can mend, also when too many wait.
            Cancelled: when cancelled, or over the time limit of hosted mode.
        """
        owner = self._repository.owner(visitor)
        with told_in_words():
            source = self._registry.resolve(request.model)
            stored = self._executor.stored(request, source, owner)
        if stored:
            yield Finished(stored)
            return
        cancel = cancel or CancelToken()
        channel = self._executor.start(request, source, owner, cancel)
        finished = False
        try:
            for event in channel.read(cancel):
                finished = isinstance(event, Finished)
                yield event
        finally:
            if not finished:
                cancel.cancel("cancelled: nobody reads this run any more")

    def estimate_cache(self, request: CacheRequest, *, visitor: str = "") -> "CacheEstimate":
        """Return what a run under policies will take; no weight is read.

        Raises:
            UserError: as the run would, and where the model is not on this machine.
        """
        return self._estimator.cache(request, visitor)

    def estimate_sweep(self, request: SweepRequest, *, visitor: str = "") -> "SweepEstimate":
        """Return what a sweep will take; no weight is read.

        Raises:
            UserError: as the sweep would, and where the model is not on this machine.
        """
        return self._estimator.sweep(request, visitor)

    def estimate_speculation(
        self, request: SpeculateRequest, *, visitor: str = ""
    ) -> "SpeculateEstimate":
        """Return whether drafting is expected to pay, from runs that this machine has done.

        Raises:
            UserError: if there is no such model, or it is not allowed here.
        """
        self._registry.info(request.model)
        for beside in request.beside:
            self._registry.info(beside)
        return self._estimator.speculate(request, visitor)

    def open(self, run_id: str, *, visitor: str = "") -> Run:
        """Return a stored run; knowing its id is the permission.

        Raises:
            UserError: if there is none, its arrays were dropped, or its version cannot be read.
        """
        return self._repository.open(run_id, visitor)

    def export(self, run_id: str) -> str:
        """Return a stored run as JSON, with the definition of every quantity.

        Raises:
            UserError: if there is none, or it cannot be read any more.
        """
        return as_json(self._repository.open(run_id))

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
    def interventions() -> tuple[type[Intervention], ...]:
        """Return every way to change a run; a class's fields are its parameters."""
        return registered()

    @staticmethod
    def policies() -> tuple[type[Policy], ...]:
        """Return every KV-cache policy; a class's fields are its parameters."""
        return registered_policies()

    @staticmethod
    def drafters() -> tuple[type[Drafter], ...]:
        """Return every drafter; a class's fields are its parameters."""
        return registered_drafters()

    @staticmethod
    def rules() -> tuple[type[Rule], ...]:
        """Return every acceptance rule; a class's fields are its parameters."""
        return registered_rules()

    def audit(self, run: Run) -> "Audit":
        """Audit a speculative run again, with its models: a stored one too.

        Raises:
            UserError: if the run is of another kind, or a model cannot be used.
        """
        request, result = run.request, run.result
        if not isinstance(request, SpeculateRequest) or not isinstance(result, SpeculationResult):
            raise UserError(
                f"run {run.id} is of kind {run.request.kind!r}: audit a speculative run"
            )
        from tokenarium.backend.speculation.auditing.run import audit

        cancel = CancelToken()
        with told_in_words():
            source = self._registry.resolve(request.model)
            with self._executor.held(request, source, lambda _: None, cancel) as (model, beside):
                return audit(result, request, model, beside.get(request.draft_model))

    @staticmethod
    def pairs(temperature: float | None = None) -> tuple[Pair, ...]:
        """Return which drafters and rules go together, and why others do not.

        Args:
            temperature: to be asked for; None for what each rule is made for.
        """
        return table(temperature)

    @staticmethod
    def biases() -> tuple["Biases", ...]:
        """Return how far each rule's output is from the target's law, by how children are drawn.

        Computed exactly over random laws, in about 2 s, once.
        """
        from tokenarium.backend.speculation.teaching import biases

        return biases()

    @staticmethod
    def tasks() -> tuple[type[Task], ...]:
        """Return every task with an answer; a class's fields are its parameters."""
        return registered_tasks()

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

    def examples(self) -> tuple[Example, ...]:
        """Return the stored traces that are examples, the one for the first paint first."""
        return tuple(
            e for e in self._examples if not isinstance(e, CacheExample | SpeculateExample)
        )

    def cache_example(self) -> Run | None:
        """Return the run under policies that the page shows first; None where none is shipped.

        Raises:
            UserError: if it was deleted.
        """
        found = next((e for e in self._examples if isinstance(e, CacheExample)), None)
        return None if found is None else self.open(found.run_id)

    def speculate_example(self) -> Run | None:
        """Return the speculative run that the page shows first; None where none is shipped.

        Raises:
            UserError: if it was deleted.
        """
        found = next((e for e in self._examples if isinstance(e, SpeculateExample)), None)
        return None if found is None else self.open(found.run_id)

    def example(self) -> Run:
        """Return the run that the page shows first, computed by the real code and shipped.

        Raises:
            UserError: if none is shipped, or it was deleted.
        """
        if not self.examples():
            raise UserError("no example run is shipped: make them with 'make examples'")
        return self.open(self.examples()[0].run_id)

    @property
    def storage_note(self) -> str:
        """One sentence on how long stored runs last; empty where they simply stay."""
        return storage_note(self.settings)

    def close(self) -> None:
        """Cancel what runs, wait for it briefly, and close the store."""
        self._executor.close()
        self._repository.close()
