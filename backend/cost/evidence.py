"""What can be known of a run before it runs: its model's files, earlier runs of this machine."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from tokenarium.backend.environment import device_kind, device_name, versions
from tokenarium.backend.errors import UserError
from tokenarium.backend.models.context import context_of
from tokenarium.backend.models.names import folder
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.repository import RunRepository
from tokenarium.backend.runs.request import ModelRequest, TextRequest
from tokenarium.backend.runs.run import Run
from tokenarium.backend.settings import Settings
from tokenarium.storage.listing import Wanted

if TYPE_CHECKING:
    from pathlib import Path

    from tokenarium.backend.cost.sketch import Sketch

_MOST_RUNS = 12


class Estimate(Protocol):
    """What a run will take; every kind adds what it can say beside the time."""

    @property
    def total_ms(self) -> float | None:
        """Milliseconds, from runs of this model on this machine; None where nothing is known."""
        ...


class Evidence:
    """What an estimate may ask for; no weight is read.

    Args:
        settings: of the application.
        repository: where earlier runs are stored.
        registry: of the models.
        visitor: who asks, and whose runs may be used.
    """

    def __init__(
        self, settings: Settings, repository: RunRepository, registry: ModelRegistry, visitor: str
    ) -> None:
        self._repository, self._registry, self._visitor = repository, registry, visitor
        self.token_limit = settings.token_limit
        self.device = device_kind(settings.device)

    def sketch(self, request: ModelRequest) -> "Sketch":
        """Return shapes and tokenizer of the model.

        Raises:
            UserError: if it is not on this machine.
        """
        from tokenarium.backend.cost.sketch import sketch

        return sketch(request.model, self._home(request))

    def weights_bytes(self, request: ModelRequest) -> int:
        """Return the bytes that the weights of the model take once they are loaded.

        Raises:
            UserError: if it is not on this machine.
        """
        import torch

        from tokenarium.backend.cost.free_memory import count_parameters

        home = self._home(request)
        dtype: torch.dtype = getattr(torch, request.dtype)
        return count_parameters(home) * dtype.itemsize

    def _home(self, request: ModelRequest) -> "Path":
        home = folder(self._registry.resolve(request.model))
        if home is None:
            raise UserError(
                f"{request.model} is not on this machine yet: what it takes is known once it has "
                "been fetched"
            )
        return home

    def limit_of(self, request: TextRequest, sketch: "Sketch") -> int:
        """Return how many tokens a request reads at most."""
        if request.past_context:
            return self.token_limit
        return min(self.token_limit, context_of(sketch.config))

    def measured(self, request: ModelRequest) -> Iterator[Run]:
        """Yield runs of this kind and model that this machine has done, newest first."""
        here = {
            "device": self.device,
            "device_name": device_name(self.device),
            "dtype": request.dtype,
            "versions": versions(),
        }
        for record in self._repository.search(
            Wanted(kind=request.kind, model=request.model),
            visitor=self._visitor,
            limit=_MOST_RUNS,
        ):
            if all(record.environment.get(name) == value for name, value in here.items()):
                try:
                    yield self._repository.open(record.id, self._visitor)
                except UserError:
                    continue  # its arrays were dropped, or another version stored it
