"""Figures of a run by name: ``from tokenarium import figures; figures.sinks(run, threshold=0.5)``.

``dir(figures)`` lists them, ``help(figures.sinks)`` says what can be chosen. They are those of the
page and of ``run.figure(name)``; Plotly is imported when the first one is asked for.
"""

from importlib import import_module
from typing import Any

_MAKER = "tokenarium.ui.figures.by_name"


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module 'tokenarium.figures' has no attribute {name!r}")
    maker = import_module(_MAKER)
    try:
        return maker.function(name)
    except KeyError:
        there = ", ".join(maker.slugs())
        raise AttributeError(f"figure={name!r} is unknown: choose {there}") from None


def __dir__() -> list[str]:
    return list(import_module(_MAKER).slugs())
