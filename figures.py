"""Figures of a run by name: ``from tokenarium import figures; figures.sinks(run, threshold=0.5)``.

``dir(figures)`` lists them, ``help(figures.sinks)`` says what can be chosen. They are those of the
page and of ``run.figure(name)``; Plotly is imported when the first one is asked for.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

_MAKER = "tokenarium.ui.figures.by_name"


def on_page(
    lab: Any, ids: str, name: str, settings: Mapping[str, Any] | None = None, **place: Any
) -> Any:
    """Return a figure as a page draws it, whose numbers say so where they are pressed.

    Args:
        lab: that has the run.
        ids: of the run; of several beside each other with a dot between.
        name: of the figure on the page.
        settings: what its controls say, by name; as they begin where they are not named.
        place: what is chosen: ``token``, ``query``, ``layer``, ``head``, ``step``, ``policy``; and
            ``zoom``, the rectangle of a map: ``queries`` and ``keys``, each from and to.

    Returns: a ``plotly.graph_objects.Figure``.

    Raises:
        UserError: if there is no such run or figure.
    """
    drawn = import_module("tokenarium.ui.why.drawn")
    return drawn.on_page(lab, ids, name, settings, **place)


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
