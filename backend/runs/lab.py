"""The facade: one question in, one stored run out, whatever happens in between."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from tokenarium.backend.arguments import checks_arguments
from tokenarium.backend.classes import Classes
from tokenarium.backend.errors import UserError, shown, told_in_words
from tokenarium.backend.models.info import ModelInfo
from tokenarium.backend.models.names import STAND_IN
from tokenarium.backend.models.preselected import Preselected, Preselection
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.runs.examples import install
from tokenarium.backend.runs.executor import RunExecutor
from tokenarium.backend.runs.kind import KINDS, Example, Kind
from tokenarium.backend.runs.lending import ModelsInUse
from tokenarium.backend.runs.library import Library
from tokenarium.backend.runs.method import FAMILIES, Method
from tokenarium.backend.runs.repository import RunRepository
from tokenarium.backend.runs.request import ModelRequest, Request
from tokenarium.backend.runs.visitor import SeenNames, Visitor, address_of
from tokenarium.backend.settings import Settings

if TYPE_CHECKING:
    from tokenarium.backend.telemetry import Telemetry
    from tokenarium.backend.tokenization.facade import Tokenizers

AnyRequest = TypeVar("AnyRequest", bound=Request)
AnyMethod = TypeVar("AnyMethod", bound=Method)


@checks_arguments
class Lab(Library):
    """Answers requests with runs, from the store or by computing; safe to use from many threads.

    Everything that a person can mend surfaces as ``UserError``. ``visitor`` is the private name of
    who asks; it is required in hosted mode and has no effect outside it.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._repository = RunRepository(self.settings)
        self._registry = ModelRegistry(self.settings, self._repository.store)
        self._registry.prime()
        self._preselection = Preselection(self.settings, self._registry)
        self._executor = RunExecutor(self.settings, self._repository, self._registry)
        self._telemetry = self._observed()
        self._examples = install(self._repository)
        self._seen = SeenNames()
        self.classes = Classes(self._repository.store, hosted=self.settings.hosted)

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
            try:
                return kind(**values)
            except (TypeError, AttributeError, LookupError, RecursionError) as error:
                raise UserError(
                    f"a value of this {kind.kind} has another type than it takes "
                    f"({type(error).__name__}): see what its fields are"
                ) from error

    @contextmanager
    def models_of(self, request: ModelRequest) -> Iterator[ModelsInUse]:
        """Lend the models of a request, to nobody else meanwhile; loads them where needed.

        Raises:
            UserError: if a model cannot be used.
        """
        with told_in_words():
            source = self._registry.resolve(request.home)
            with self._executor.lender.lend(request, source, lambda _: None, CancelToken()) as used:
                yield used

    @cached_property
    def tokenizers(self) -> "Tokenizers":
        """Tokenizers without weights: which there are, and what they make of a text at once."""
        from tokenarium.backend.tokenization.facade import Tokenizers

        return Tokenizers(self.settings, self._registry)

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
            family: ``policy``, ``drafter``, ``rule``, ``intervention``, ``measure``, ``task``,
                ``segmenter`` or ``initialiser``, or the base class, such as ``Policy``.

        Raises:
            UserError: if there is no such family, naming those there are.
        """
        KINDS.all()  # the families are declared beside the kinds of runs that use them
        named = isinstance(family, str)
        registry = FAMILIES.get(family) if named else getattr(family, "registry", None)
        if registry is None:
            raise UserError(
                f"family={shown(family)} is unknown: choose {', '.join(sorted(FAMILIES))}"
            )
        found: tuple[type[Method], ...] = registry.all()
        return found

    def visitor(
        self, name: str, peer: str = "", forwarded: str = "", group: object = None
    ) -> Visitor:
        """Return who asks, for ``visitor=``, from what a server knows of a request.

        Args:
            name: private name, which only that visitor knows.
            peer: address of the other end of the connection.
            forwarded: header X-Forwarded-For, which counts with ``behind_proxy`` only.
            group: code of the class that the visitor says to be in.
        """
        self.classes.expire()
        address = address_of(peer, forwarded, behind_proxy=self.settings.behind_proxy)
        code = group if isinstance(group, str) and self.classes.has(group) else ""
        return Visitor(name, address, known=self._seen.known(name), group=code)

    def examples(self, kind: str) -> tuple[Example, ...]:
        """Return the examples of a kind whose runs are stored, the one for the first paint first.

        Where a bundled model stands in for the default one, its own examples come first: what is
        computed beside them can be computed here.

        Args:
            kind: slug, such as ``trace``.
        """
        model = self.preselected().name
        found = [e for e in self._examples if e.request.kind == kind]
        return tuple(sorted(found, key=lambda e: model == STAND_IN and e.request.model != model))

    def models(self) -> list[ModelInfo]:
        """Return the models to offer, with their state."""
        return self._registry.infos()

    def state(self, model: str) -> ModelInfo:
        """Return what is known of one model, loaded or not.

        Raises:
            UserError: if there is no such model, or it is not allowed here.
        """
        with told_in_words():
            return self._registry.info(model)

    def warm(self, model: str) -> None:
        """Load a model in the background; a failure shows in its state.

        Raises:
            UserError: if there is no such model, or it is not allowed here.
        """
        with told_in_words():
            self._registry.warm(model)

    def prepare(self) -> None:
        """Fetch and load the default model in the background; its progress shows in its state.

        Where it cannot be had, what a page preselects instead is loaded; see ``preselected``.
        """
        self._preselection.begin()

    def preselected(self) -> Preselected:
        """Return the model that a page begins with, and why it is not the default one.

        No request is answered by another model than the one it names.
        """
        return self._preselection.now()

    def prepare_statistics(self) -> None:
        """Compile and try the native kernel of attention statistics, so that no run waits for it.

        It takes some seconds on a machine's first start and none later. Without a compiler, PyTorch
        computes the statistics; nothing is raised.
        """
        self._registry.prepare_statistics()

    def why_not_ready(self) -> str:
        """Return why no request can be answered now; empty where requests can be."""
        return self._repository.store.why_no_answer()

    def close(self) -> None:
        """Cancel what runs, wait for it briefly, and close the store."""
        self._executor.close()
        if self._telemetry is not None:
            self._telemetry.close()
        self._repository.close()

    def _observed(self) -> "Telemetry | None":
        """Begin to send what is observed of runs to the collector that the settings name."""
        if not self.settings.telemetry:
            return None
        from tokenarium.backend.telemetry import Telemetry

        telemetry = Telemetry(self.settings.telemetry, lambda: self._executor.waiting(None))
        self._executor.observers.add(telemetry)
        return telemetry
