"""The loaded models: kept while there is room, used by one run at a time."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch

from tokenarium.backend.models.identity import DigestMemo, fingerprint
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load, try_tokenizer
from tokenarium.backend.models.names import ModelSource, folder
from tokenarium.backend.models.refusal import DoesNotFit, refusing

State = Literal["cold", "loading", "ready"]

Key = tuple[str, torch.dtype, torch.device]


@dataclass
class _Place:
    """Where one model stands, or will stand; ``busy`` is held by the run that uses it."""

    loaded: LoadedModel | None = None
    loading: bool = False
    wanted: int = 0
    size_bytes: int = 0
    busy: threading.RLock = field(default_factory=threading.RLock)


class ModelCache:
    """Loads models on demand and unloads the least recently used one when memory is short."""

    def __init__(self, max_bytes: int | None = None, digest_memo: DigestMemo | None = None) -> None:
        """Make an empty shelf.

        Args:
            max_bytes: most bytes of weights kept; None keeps what fits into memory.
            digest_memo: spares hashing files that have not changed.
        """
        self._max_bytes = max_bytes
        self._memo = digest_memo
        self._lock = threading.Lock()
        # transformers sets torch's default dtype of the whole process while it builds a model.
        self._one_load = threading.Lock()
        self._places: dict[Key, _Place] = {}  # least recently used first

    def get(
        self,
        source: ModelSource,
        dtype: torch.dtype | str,
        device: torch.device | str,
        token_limit: int,
    ) -> LoadedModel:
        """Return the model, loading it first if need be.

        The caller sees to it that no other run uses it meanwhile; ``use`` does that by itself.

        Args:
            source: where it is.
            dtype: format to hold the weights in, such as ``torch.bfloat16`` or ``"bfloat16"``.
            device: where it runs.
            token_limit: longest text it will be asked to read, in tokens.
        Raises: ModelRefused where it cannot be used, also once every idle model was unloaded.
        """
        with self.use(source, dtype, device, token_limit) as loaded:
            return loaded

    @contextmanager
    def use(
        self,
        source: ModelSource,
        dtype: torch.dtype | str,
        device: torch.device | str,
        token_limit: int,
    ) -> Iterator[LoadedModel]:
        """Hold the model alone for the length of the context; arguments as of ``get``."""
        kind = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        key = (source.name, kind, torch.device(device))
        with self._lock:
            place = self._places.setdefault(key, _Place())
            place.wanted += 1
        try:
            with place.busy:
                yield self._ready(key, place, source, token_limit)
        finally:
            with self._lock:
                place.wanted -= 1
                if place.loaded is None and not place.wanted:
                    self._places.pop(key, None)

    def state(self, name: str) -> State:
        """Return whether the model of this name is ready in some format, on its way, or cold."""
        with self._lock:
            places = [place for key, place in self._places.items() if key[0] == name]
        if any(place.loaded for place in places):
            return "ready"
        return "loading" if any(place.loading for place in places) else "cold"

    def loaded(self, name: str) -> LoadedModel | None:
        """Return the model of this name if it is ready in some format; nothing is loaded."""
        with self._lock:
            ready = [place.loaded for key, place in self._places.items() if key[0] == name]
        return next((model for model in ready if model), None)

    def clear(self) -> None:
        """Unload every model that no run uses."""
        while self._unload_one():
            pass

    def _ready(self, key: Key, place: _Place, source: ModelSource, token_limit: int) -> LoadedModel:
        current = fingerprint(source, self._memo)
        if place.loaded and place.loaded.fingerprint == current:
            with self._lock:
                self._places[key] = self._places.pop(key)
            return place.loaded
        place.loaded = None  # its files have changed since
        place.loading = True
        try:
            loaded = self._load(key, source, token_limit)
        finally:
            place.loading = False
        size = sum(weights.nbytes for weights in loaded.model.parameters())
        with self._lock:
            place.loaded, place.size_bytes = loaded, size
            self._places[key] = self._places.pop(key)
        while self._max_bytes is not None and self._bytes() > self._max_bytes:
            if not self._unload_one():
                break
        return loaded

    def _load(self, key: Key, source: ModelSource, token_limit: int) -> LoadedModel:
        if home := folder(source):  # a tokenizer that is slow to read keeps nobody else waiting
            with refusing(
                f"{source.name} has no tokenizer that can be read",
                "put its tokenizer.json beside config.json",
            ):
                try_tokenizer(home, source.name)
        while True:
            try:
                with self._one_load:
                    return load(source, key[1], key[2], token_limit, self._memo)
            except DoesNotFit:
                if not self._unload_one(key[2]):
                    raise

    def _bytes(self) -> int:
        with self._lock:
            return sum(place.size_bytes for place in self._places.values() if place.loaded)

    def _unload_one(self, device: torch.device | None = None) -> bool:
        """Unload the least recently used model that no run uses or waits for; False if none."""
        with self._lock:
            idle = (
                key
                for key, place in self._places.items()
                if place.loaded and not place.wanted and device in (None, key[2])
            )
            if (key := next(idle, None)) is None:
                return False
            del self._places[key]
        gc.collect()
        if key[2].type == "cuda":
            torch.cuda.empty_cache()
        return True
