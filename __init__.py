"""Watch what a language model keeps, drops and guesses: ``from tokenarium import Lab``."""

from typing import TYPE_CHECKING

from tokenarium.backend import __all__, __getattr__  # noqa: F401

if TYPE_CHECKING:
    from tokenarium.backend import *  # noqa: F403
