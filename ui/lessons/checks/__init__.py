"""Checks by name: pure functions of what is seen, each with the sentence that it says.

A check is one function with the decorator ``check``; its name is what a lesson's file calls it, its
keyword arguments are what the file gives. It judges the run in sight on the server, and a sentence
of one that is not passed says what was seen and what to look for.
"""

import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module

from tokenarium.ui.lessons.seen import Verdict

Check = Callable[..., Verdict]
_FOUND: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Register a check under the name of its function.

    Raises:
        TypeError: if another one has that name.
    """
    name = function.__name__
    if name in _FOUND:
        raise TypeError(f"two checks are called {name}: give one another name")
    _FOUND[name] = function
    return function


@cache
def checks() -> Mapping[str, Check]:
    """Return every check by its name; each module here adds its own."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return dict(sorted(_FOUND.items()))
