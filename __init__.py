"""Watch what a language model keeps, drops and guesses: ``from tokenarium import Lab``."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tokenarium import backend
from tokenarium.backend import __all__

if TYPE_CHECKING:
    from tokenarium.backend import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if name == "figures":
        return import_module("tokenarium.figures")
    return getattr(backend, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "figures"])
