"""One registry for every family of declarations: what is there, by slug."""

import threading
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Generic, Protocol, TypeVar


class Declared(Protocol):
    """What a registry holds: a declaration that has a name for requests and one for people."""

    @property
    def slug(self) -> str:
        """Name in requests."""
        ...

    @property
    def title(self) -> str:
        """Name for people."""
        ...


T = TypeVar("T", bound=Declared)


class Registry(Generic[T]):
    """The declarations of one family.

    ``Registry[type[Policy]]("policy", modules_of("tokenarium.backend.cache.policies"))`` finds a
    policy in a new file of that package by itself. Thread-safe.

    Args:
        family: name of the family, such as ``policy``; also the argument that errors name.
        scan: imports the modules that register what they declare; called once, when something is
            first looked for.
    """

    def __init__(self, family: str, scan: Callable[[], None]) -> None:
        self.family = family
        self._scan: Callable[[], None] | None = scan
        self._scanning = threading.RLock()
        self._entries: dict[str, T] = {}

    def register(self, entry: T) -> None:
        """Add a declaration.

        Raises:
            TypeError: if its slug is taken.
        """
        # No lock: whoever imports a module of the family holds that module's import lock already.
        taken = self._entries.setdefault(entry.slug, entry)
        if taken is not entry:
            raise TypeError(f"{self.family} slug={entry.slug!r} is taken by {taken.title!r}")

    def all(self) -> tuple[T, ...]:
        """Return every declaration known so far, by title."""
        self._scan_once()
        return tuple(sorted(self._entries.values(), key=lambda entry: entry.title))

    def find(self, slug: str) -> T:
        """Return the declaration named ``slug``.

        Raises:
            ValueError: if there is none, naming those there are.
        """
        self._scan_once()
        if slug not in self._entries:
            raise ValueError(
                f"{self.family}={slug!r} is unknown: choose {', '.join(sorted(self._entries))}"
            )
        return self._entries[slug]

    def _scan_once(self) -> None:
        with self._scanning:
            # Emptied first: a module may ask for what is known while it is being imported.
            scan, self._scan = self._scan, None
            if scan is not None:
                scan()


def modules_of(package: str) -> Callable[[], None]:
    """Return what imports every module of ``package``, which holds one method each."""

    def scan() -> None:
        for module in iter_modules(import_module(package).__path__):
            import_module(f"{package}.{module.name}")

    return scan
