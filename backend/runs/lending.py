"""The models of a run: fetched, loaded and lent to it alone."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenarium.backend.models.files import digest_of
from tokenarium.backend.models.names import ModelSource, folder
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.events import CancelToken, Event, Progress
from tokenarium.backend.runs.request import ModelRequest

if TYPE_CHECKING:
    from tokenarium.backend.models.fetching.child import Fetch
    from tokenarium.backend.models.loaded import LoadedModel
    from tokenarium.backend.tokenization.vocabulary import Vocabulary


@dataclass(frozen=True)
class ModelsInUse:
    """The models of one request."""

    own: "LoadedModel | None"
    """The request's own; None where it names none."""
    beside: dict[str, "LoadedModel"]
    """Those that ``request.beside`` names, by that name."""
    vocabularies: dict[str, "Vocabulary"]
    """Those that ``request.tokenizers_read`` names, by that name."""

    @property
    def model(self) -> "LoadedModel":
        """The request's own, of a request that names one."""
        assert self.own is not None
        return self.own

    @property
    def all(self) -> tuple["LoadedModel", ...]:
        """Every model, the request's own first."""
        return (*([self.own] if self.own else ()), *self.beside.values())


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
        vocabularies = {n: self._registry.vocabularies.get(n) for n in request.tokenizers_read}
        wanted = (source, *self.beside(request)) if request.reads_model else ()
        sources = {each.name: each for each in wanted}
        with ExitStack() as stack:
            models = {}
            for name in sorted(sources):  # in one order for all runs, so that none wait in a circle
                self._prepare(sources[name], emit, cancel)
                if self._registry.info(name).state != "ready":
                    emit(Progress(f"loading {name}", 0, 1))
                models[name] = stack.enter_context(self._registry.use(sources[name], request.dtype))
                cancel.check()
            beside = {name: models[self._registry.resolve(name).name] for name in request.beside}
            yield ModelsInUse(models.get(source.name), beside, vocabularies)

    def _prepare(
        self, source: ModelSource, emit: Callable[[Event], None], cancel: CancelToken
    ) -> None:
        """Wait until the files of a model are there; cancelling ends the waiting only."""

        def watch(fetch: "Fetch") -> None:
            cancel.check()
            emit(Progress(f"{source.name}: {fetch.doing}", fetch.done, fetch.total))

        self._registry.prepare(source, watch)

    def digests(self, request: ModelRequest) -> tuple[str, ...]:
        """Return the SHA-256 of each tokenizer that a request reads without weights, and of each
        file that it reads beside models."""
        read = (self._registry.vocabularies.get(name).digest for name in request.tokenizers_read)
        return (*read, *map(digest_of, request.files_read))

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
