"""What a run will take before it runs: its model's files and earlier runs of this machine tell."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from tokenarium.backend.benchmark.sweep.request import SweepRequest
from tokenarium.backend.benchmark.sweep.result import SweepResult
from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.environment import device_kind, device_name, versions
from tokenarium.backend.errors import UserError, told_in_words
from tokenarium.backend.models.names import folder
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.repository import RunRepository
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.runs.run import Run
from tokenarium.backend.settings import Settings
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.result import SpeculationResult

if TYPE_CHECKING:
    from tokenarium.backend.benchmark.sweep.estimate import SweepEstimate
    from tokenarium.backend.cache.estimate import CacheEstimate
    from tokenarium.backend.cost.sketch import Sketch
    from tokenarium.backend.speculation.estimate import SpeculateEstimate

_MOST_RUNS = 12


class Estimator:
    """Tells what a run will take; no weight is read."""

    def __init__(self, settings: Settings, library: RunRepository, registry: ModelRegistry) -> None:
        self._settings, self._repository, self._registry = settings, library, registry

    def cache(self, request: CacheRequest, visitor: str) -> "CacheEstimate":
        """Return tokens, passes, bytes and time of a run under policies."""
        import torch

        from tokenarium.backend.cache.estimate import estimate
        from tokenarium.backend.cost.time import Measured, pace
        from tokenarium.backend.models.structure import context_of

        with told_in_words():
            sketch = self._sketch(request)
            limit = self._settings.token_limit
            if not request.past_context:
                limit = min(limit, context_of(sketch.config))
            device = torch.device(device_kind(self._settings.device))
            found = estimate(request, sketch, limit, device)
        runs = [
            Measured(run.result, run.duration_ms, run.request.oracle)
            for run in self._measured(request, visitor)
            if isinstance(run.result, CacheResult) and isinstance(run.request, CacheRequest)
        ]
        told = pace(request, found, runs)
        return replace(found, total_ms=told.total_ms, unknown=told.unknown)

    def sweep(self, request: SweepRequest, visitor: str) -> "SweepEstimate":
        """Return points, passes, bytes and time of a sweep."""
        from tokenarium.backend.benchmark.sweep.estimate import estimate

        done = [
            run.result
            for run in self._measured(request, visitor)
            if isinstance(run.result, SweepResult)
        ]
        with told_in_words():
            return estimate(request, self._sketch(request), done)

    def speculate(self, request: SpeculateRequest, visitor: str) -> "SpeculateEstimate":
        """Return what earlier runs tell of drafting with these models."""
        from tokenarium.backend.speculation.estimate import estimate

        def told(asked: SpeculateRequest) -> tuple[object, ...]:
            return asked.drafter.slug, asked.beside, asked.rule.slug, asked.temperature

        done = [
            (run.result, run.duration_ms)
            for run in self._measured(request, visitor)
            if isinstance(run.result, SpeculationResult)
            and isinstance(run.request, SpeculateRequest)
            and told(run.request) == told(request)
        ]
        return estimate(request, done)

    def _sketch(self, request: ModelRequest) -> "Sketch":
        from tokenarium.backend.cost.sketch import sketch

        home = folder(self._registry.resolve(request.model))
        if home is None:
            raise UserError(
                f"{request.model} is not on this machine yet: what it takes is told once it has "
                "been fetched"
            )
        return sketch(request.model, home)

    def _measured(self, request: ModelRequest, visitor: str) -> Iterator[Run]:
        """Yield runs of this kind and model that this machine has done, newest first."""
        kind = device_kind(self._settings.device)
        here = {
            "device": kind,
            "device_name": device_name(kind),
            "dtype": request.dtype,
            "versions": versions(),
        }
        for record in self._repository.search(
            visitor=visitor, kind=request.kind, model=request.model, limit=_MOST_RUNS
        ):
            if all(record.environment.get(name) == value for name, value in here.items()):
                try:
                    yield self._repository.open(record.id, visitor)
                except UserError:
                    continue  # its arrays were dropped, or another version stored it
