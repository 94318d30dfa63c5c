"""Which models there are, what is known of each before it is loaded, and its state."""

import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safetensors import SafetensorError, safe_open

from backend.environment import device_kind
from backend.errors import in_words, told_in_words
from backend.models.hub_cache import weight_files
from backend.models.names import BUNDLED, ModelSource, available, fingerprint, folder, resolve
from backend.models.refusal import ModelRefused
from backend.requests import DType
from backend.settings import Settings
from storage import RunStore

if TYPE_CHECKING:
    from backend.models.cache import ModelShelf
    from backend.models.loaded import LoadedModel

FolderState = tuple[tuple[str, int, int], ...]
State = Literal["cold", "loading", "ready", "refused"]

# Configuration files name the same thing differently; the first name found counts.
_SHAPE_NAMES = {
    "context": ("max_position_embeddings", "n_positions"),
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "kv_heads": ("num_key_value_heads", "num_attention_heads", "n_head"),
}


@dataclass(frozen=True)
class ModelInfo:
    """A model as offered; a number is None while nothing on this machine tells it."""

    name: str
    title: str
    state: State
    parameters: int | None
    """As stored in the weights; shared ones count once."""
    context: int | None
    """Most tokens the model can read at once."""
    layers: int | None
    heads: int | None
    """Query heads of a layer."""
    kv_heads: int | None
    """Key-value heads of a layer."""
    detail: str = ""
    """Why a model was refused, in words; else empty."""


class Roster:
    """Models by name; they are loaded on demand, and only then is torch imported."""

    def __init__(self, settings: Settings, memo: RunStore) -> None:
        self._settings = settings
        self._memo = memo
        self._lock = threading.Lock()
        self._shelf: ModelShelf | None = None
        self._asked_for: Counter[str] = Counter()
        self._refused: dict[str, str] = {}
        self._fingerprints: dict[Path, tuple[FolderState, str]] = {}

    def resolve(self, name: str) -> ModelSource:
        """Return where the model is; refuse what the current mode does not allow."""
        return resolve(name, self._settings)

    def fingerprint(self, source: ModelSource) -> str | None:
        """Return the SHA-256 of model and tokenizer, or None if it is not on this machine yet."""
        home = folder(source)
        if home is None:
            return None
        state = _state_of(home)
        known = self._fingerprints.get(home)
        if known is None or known[0] != state:
            found = fingerprint(source, self._memo)
            if found is None:
                return None
            known = self._fingerprints[home] = (state, found)
        return known[1]

    def prime(self) -> None:
        """Learn the fingerprints of the bundled models, so that the first request is quick."""
        for source in available(self._settings):
            if source.name in BUNDLED:
                self.fingerprint(source)

    @contextmanager
    def use(self, source: ModelSource, dtype: DType) -> Iterator["LoadedModel"]:
        """Hold the model alone, loaded first if need be; a refusal shows in its state.

        Raises:
            ValueError: ``ModelRefused`` with the reason.
        """
        with self._lock:
            self._asked_for[source.name] += 1
        try:
            shelf = self._opened()
            device = device_kind(self._settings.device)
            try:
                with shelf.use(source, dtype, device, self._settings.token_limit) as loaded:
                    self._refused.pop(source.name, None)
                    yield loaded
            except ModelRefused as error:
                self._refused[source.name] = str(error)
                raise
        finally:
            with self._lock:
                self._asked_for[source.name] -= 1

    def warm(self, name: str) -> None:
        """Load the model in the background; whatever goes wrong shows in its state."""
        with told_in_words():
            source = self.resolve(name)
        if self._info(source).state in ("loading", "ready"):
            return
        threading.Thread(target=self._warm, args=(source,), name="warm", daemon=True).start()

    def infos(self) -> list[ModelInfo]:
        """Return the models to offer."""
        return [self._info(source) for source in available(self._settings)]

    def info(self, name: str) -> ModelInfo:
        """Return what is known of one model.

        Raises:
            UserError: if there is no such model, or it is not allowed here.
        """
        with told_in_words():
            return self._info(self.resolve(name))

    def _opened(self) -> "ModelShelf":
        from backend.models.cache import ModelShelf

        with self._lock:
            if self._shelf is None:
                self._shelf = ModelShelf(digest_memo=self._memo)
            return self._shelf

    def _warm(self, source: ModelSource) -> None:
        try:
            with self.use(source, "float32"):
                return
        except Exception as error:  # nobody waits for it; the state tells
            told = in_words(error)
            if told is None:
                logging.getLogger(__name__).exception("%s could not be loaded", source.name)
            self._refused[source.name] = str(told or f"{type(error).__name__}: {error}")

    def _info(self, source: ModelSource) -> ModelInfo:
        state: State = self._shelf.state(source.name) if self._shelf else "cold"
        if state == "cold" and self._asked_for[source.name]:
            state = "loading"
        detail = self._refused.get(source.name, "")
        if state == "cold" and detail:
            state = "refused"
        home = folder(source)
        shape = _shape(home) if home else {}
        return ModelInfo(
            name=source.name,
            title=source.title,
            state=state,
            parameters=_parameters(home) if home else None,
            context=shape.get("context"),
            layers=shape.get("layers"),
            heads=shape.get("heads"),
            kv_heads=shape.get("kv_heads"),
            detail=detail if state == "refused" else "",
        )


def _state_of(home: Path) -> FolderState:
    """Return what changes whenever a file of the model does, without reading any."""
    files = ((entry.name, entry.stat()) for entry in os.scandir(home) if entry.is_file())
    return tuple(sorted((name, found.st_size, found.st_mtime_ns) for name, found in files))


def _shape(home: Path) -> dict[str, int]:
    try:
        config: dict[str, Any] = json.loads((home / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # loading it will say what is wrong
    config |= config.get("text_config") or {}
    found = {
        what: next((config[name] for name in names if config.get(name)), None)
        for what, names in _SHAPE_NAMES.items()
    }
    return {what: value for what, value in found.items() if isinstance(value, int)}


def _parameters(home: Path) -> int | None:
    total = 0
    try:
        for file in weight_files(home):
            with safe_open(file, framework="numpy") as stored:
                total += sum(prod(stored.get_slice(name).get_shape()) for name in stored.keys())  # noqa: SIM118
    except (OSError, ValueError, KeyError, SafetensorError):
        return None  # loading it will say what is wrong
    return total or None
