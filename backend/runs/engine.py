"""Where a run is computed: neither who asks for it nor what stores it knows the place."""

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tokenarium.backend.environment import describe
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import CancelToken, ChildRun, Event
from tokenarium.backend.runs.kind import imported, kind_of
from tokenarium.backend.runs.lending import ModelLender
from tokenarium.backend.runs.parts import Part, Parts, one_after_another
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.runs.result import Result
from tokenarium.backend.settings import Settings

if TYPE_CHECKING:
    from tokenarium.backend.models.loaded import LoadedModel


@dataclass(frozen=True)
class Computed:
    """What was computed, and how; nothing in it belongs to a place."""

    result: Result
    """Of a part of a run: its answer, which only the run's ``Parts`` know."""
    duration_ms: float
    environment: dict[str, Any]


@dataclass(frozen=True)
class Reports:
    """What is said while a run is computed."""

    event: Callable[[Event], None]
    child: Callable[[Computed, ModelRequest], None]
    """Takes a smaller run that is to be stored by itself, and its request."""


class Engine(Protocol):
    """A place where runs are computed."""

    at_once: int
    """Runs of one model that it computes at once."""

    def compute(
        self,
        request: ModelRequest,
        source: ModelSource,
        reports: Reports,
        cancel: CancelToken,
        part: Part | None = None,
    ) -> Computed:
        """Compute a run.

        Args:
            request: what to compute.
            source: its model.
            reports: takes what is said meanwhile.
            cancel: stops it, within a layer of the model.
            part: the part to compute of work that has parts, whose model and limits are the
                request's; None for the whole.

        Raises:
            Cancelled: if it was stopped.
            UserError: what a person can mend.
        """

    def in_parts(
        self,
        parts: Parts,
        request: ModelRequest,
        source: ModelSource,
        reports: Reports,
        cancel: CancelToken,
    ) -> Any:
        """Compute work in parts and return the whole.

        Args:
            parts: the work; each part is handed over as soon as it is there.
            request: whose models, number format and limits they are computed with.
            source: its model.
            reports: takes what is said meanwhile.
            cancel: stops it, within a layer of the model; what is finished was handed over.

        Raises:
            Cancelled: if it was stopped.
            UserError: what a person can mend.
        """

    def close(self) -> None:
        """End what it keeps."""


class LocalEngine:
    """Computes in this process.

    Args:
        settings: limits of length and time.
        lender: of the models.
    """

    at_once = 1

    def __init__(self, settings: Settings, lender: ModelLender) -> None:
        self._settings, self._lender = settings, lender

    def close(self) -> None:
        """Nothing to end: the models are the registry's."""

    def in_parts(
        self,
        parts: Parts,
        request: ModelRequest,
        source: ModelSource,
        reports: Reports,
        cancel: CancelToken,
    ) -> Any:
        """Compute parts one after another in this thread; see ``Engine``."""

        def compute(part: Hashable, said: Callable[[Event], None]) -> Any:
            asked, told = Part(parts.compute, part), Reports(said, reports.child)
            return self.compute(request, source, told, cancel, asked).result

        return one_after_another(parts, compute, reports.event, cancel)

    def compute(
        self,
        request: ModelRequest,
        source: ModelSource,
        reports: Reports,
        cancel: CancelToken,
        part: Part | None = None,
    ) -> Computed:
        """Compute a run in this thread; see ``Engine``."""
        with self._lender.lend(request, source, reports.event, cancel) as lent:
            loaded, used = lent.own, lent.all
            compute = _computing(request, part)
            limit = self._settings.token_limit
            if loaded and not request.past_context:
                limit = min(limit, loaded.context)
            read = (*(model.fingerprint for model in used), *self._lender.digests(request))
            device = loaded.device.type if loaded else "cpu"
            environment = describe(device, request.dtype, " ".join(read))
            copies = {m.name: m.weights for m in used if m.weights}
            if copies:
                environment["weights"] = copies
            if rendered := self._lender.rendered(request, source):
                environment["rendered"] = rendered[0]

            def emit(event: Event) -> None:
                if isinstance(event, ChildRun):
                    computed = Computed(event.result, event.duration_ms, environment)
                    reports.child(computed, event.request)
                else:
                    reports.event(event)

            with time_limit(self._settings, cancel), _quick(used):
                started = time.perf_counter()
                more = [each for each in (lent.beside, lent.vocabularies) if each]
                result = compute(request, loaded, limit, emit, cancel, *more)
                duration_ms = (time.perf_counter() - started) * 1000
            cancel.check()
        return Computed(result, duration_ms, environment)


@contextmanager
def _quick(models: Sequence["LoadedModel"]) -> Iterator[None]:
    """Let models multiply by the quickest library that torch has for them."""
    with ExitStack() as products:
        if models:
            from tokenarium.backend.observe.products import quick_products

            for model in models:
                products.enter_context(quick_products(model))
        yield


@contextmanager
def time_limit(settings: Settings, cancel: CancelToken) -> Iterator[None]:
    """Cancel a run that takes longer than a visitor's may, saying so."""
    if not settings.hosted:
        yield
        return
    from tokenarium.backend.cost.fits import stopped_by_time

    seconds = settings.hosted_max_seconds
    timer = threading.Timer(seconds, cancel.cancel, [stopped_by_time(seconds)])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _computing(request: ModelRequest, part: Part | None) -> Callable[..., Any]:
    """Return what computes a run, or a part of it, of model, limit, events and ``CancelToken``."""
    if part is None:
        found: Callable[..., Any] = imported(kind_of(request).compute)
        return found
    compute_part = imported(part.compute)

    def compute(request: ModelRequest, *given: Any) -> Any:
        return compute_part(request, part.of, *given)

    return compute
