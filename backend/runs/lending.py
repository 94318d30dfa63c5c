"""The models of a run: fetched, loaded and lent to it alone."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenarium.backend.models.names import ModelSource, folder
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.events import CancelToken, Event, Progress
from tokenarium.backend.runs.request import ModelRequest

if TYPE_CHECKING:
    from tokenarium.backend.models.fetching.child import Fetch
    from tokenarium.backend.models.loaded import LoadedModel


@dataclass(frozen=True)
class ModelsInUse:
    """The models of one request."""

    model: "LoadedModel"
    beside: dict[str, "LoadedModel"]
    """Those that ``request.beside`` names, by that name."""


class ModelLender:
    """Lends models to runs.

    Args:
        registry: where they are kept.
    """

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    @contextmanager
    def lend(
        self,
        request: ModelRequest,
        source: ModelSource,
        emit: Callable[[Event], None],
        cancel: CancelToken,
    ) -> Iterator["ModelsInUse"]:
        """Lend the models of a request, to nobody else meanwhile; loads them where needed."""
        sources = {each.name: each for each in (source, *self.beside(request))}
        with ExitStack() as stack:
            models = {}
            for name in sorted(sources):  # in one order for all runs, so that none wait in a circle
                self._prepare(sources[name], emit, cancel)
                if self._registry.info(name).state != "ready":
                    emit(Progress(f"loading {name}", 0, 1))
                models[name] = stack.enter_context(self._registry.use(sources[name], request.dtype))
                cancel.check()
            beside = {name: models[self._registry.resolve(name).name] for name in request.beside}
            yield ModelsInUse(models[source.name], beside)

    def _prepare(
        self, source: ModelSource, emit: Callable[[Event], None], cancel: CancelToken
    ) -> None:
        """Wait until the files of a model are there; cancelling ends the waiting only."""

        def watch(fetch: "Fetch") -> None:
            cancel.check()
            emit(Progress(f"{source.name}: {fetch.doing}", fetch.done, fetch.total))

        self._registry.prepare(source, watch)

    def rendered(self, request: ModelRequest, source: ModelSource) -> tuple[str, ...]:
        """Return the digest of the ids of what the model's chat template writes, where it does."""
        home = folder(source)
        if not request.rendered or home is None:
            return ()
        from tokenarium.backend.cost.sketch import sketch

        return (sketch(source.name, home).digest(request.rendered),)

    def beside(self, request: ModelRequest) -> tuple[ModelSource, ...]:
        """Return the models of a request beside its own."""
        return tuple(self._registry.resolve(name) for name in request.beside)
