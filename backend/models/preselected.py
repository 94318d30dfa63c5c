"""Which model the page preselects: the default one, its original, else one that is bundled."""

import threading
from dataclasses import dataclass

from tokenarium.backend.models.default import DEFAULT_MODEL, HUB_COPY, TITLE
from tokenarium.backend.models.names import STAND_IN, folder
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.settings import Settings

_OFF = "it is not on this machine, and fetching is switched off with --no-fetch"


@dataclass(frozen=True)
class Preselected:
    """A model, and why it is not the default one."""

    name: str
    note: str = ""
    """One sentence where another model stands in; else empty."""


class Preselection:
    """Finds out once, in the background, which model can be had; nothing waits for it.

    On a person's own machine the 4-bit copy of a package comes first, then the original weights
    from Hugging Face; in hosted mode the other way round. No request is answered by another model
    than the one it names: this only says what a page begins with.
    """

    def __init__(self, settings: Settings, registry: ModelRegistry) -> None:
        self._settings, self._registry = settings, registry
        order = (DEFAULT_MODEL, HUB_COPY)
        self._order = order[::-1] if settings.hosted else order
        self._failed: dict[str, str] = {}
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Fetch and load the first model that can be had, in the background."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._try, name="preselect", daemon=True)
            self._thread.start()

    def now(self) -> Preselected:
        """Return what to preselect, as far as is known now."""
        for name in self._order:
            if name not in self._failed and (self._settings.fetch or self._is_here(name)):
                return Preselected(name, self._note(name))
        return Preselected(STAND_IN, self._note(STAND_IN))

    def _try(self) -> None:
        for name in self._order:
            if not (self._settings.fetch or self._is_here(name)):
                continue
            why = self._registry.load_now(name)
            if not why:
                return
            self._failed[name] = why
        self._registry.load_now(STAND_IN)

    def _is_here(self, name: str) -> bool:
        return folder(self._registry.resolve(name)) is not None

    def _note(self, name: str) -> str:
        if name == DEFAULT_MODEL or (self._settings.hosted and name == HUB_COPY):
            return ""
        what = "its original weights stand in" if name == HUB_COPY else f"{name} stands in"
        why = self._failed.get(DEFAULT_MODEL) or _OFF
        return f"{TITLE} is the default model; {what}, because: {why.rstrip('.')}."
