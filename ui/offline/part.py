"""One part of the offline page: a component of the pages, with a value for every selection."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from plotly.graph_objects import Figure

from tokenarium.ui.components import plot
from tokenarium.ui.components.plot import figure_json
from tokenarium.ui.text import escape
from tokenarium.ui.why.number import unmarked

STEPPED = 64 * 64
"""Cells above which a map of every head is in the file with 16 bits each."""
Key = tuple[int | str, ...]
Change = list[Any]
"""Where in a value, as names and numbers, and what stands there: ``[path, value]``."""


@dataclass(frozen=True)
class Part:
    """What the browser makes of one view.

    ``value`` is what it begins with, as the page's component reads it. Where it depends on the
    selection, ``by`` names fields of it, and ``changes`` has for every place what is different.
    """

    name: str
    component: str
    """Function of ``window.tokenarium``, such as ``plot``."""
    template: str
    value: Any
    by: tuple[str, ...] = ()
    changes: Mapping[Key, list[Change]] = field(default_factory=dict)
    text: bool = False
    """Whether the component reads its value as JSON text."""

    def packed(self) -> dict[str, Any]:
        """Return it as the browser reads it."""
        return {
            "name": self.name,
            "component": self.component,
            "template": self.template,
            "value": self.value,
            "by": self.by,
            "changes": {",".join(map(str, key)): found for key, found in self.changes.items()},
            "text": self.text,
        }


def figure_part(
    name: str,
    title: str,
    explanation: str,
    figure: Figure | None,
    by: tuple[str, ...] = (),
    changes: Mapping[Key, list[Change]] | None = None,
) -> Part:
    """Return a figure of the pages; ``changes`` are of its JSON."""
    told = {"title": escape(title), "explanation": escape(explanation)}
    template = plot.TEMPLATE.format(**told)
    value = None if figure is None else as_value(figure)
    return Part(name, "plot", template, value, by, changes or {}, text=True)


def html_part(name: str, html: str) -> Part:
    """Return a piece of HTML, such as a table, whose texts are escaped already.

    Its numbers are plain text: a file has no server that could say what they are.
    """
    return Part(name, "table", '<div class="tk-table-host"></div>', unmarked(html))


def as_value(figure: Figure) -> dict[str, Any]:
    """Return a figure as the browser reads it; maps of some size in 16-bit steps."""
    found: dict[str, Any] = orjson.loads(figure_json(figure, STEPPED))
    return found


def with_map(known: dict[str, Any], values: Any, names: Any, label: str) -> dict[str, Any]:
    """Return a figure with another map in place of its first one, of the same size and scale.

    Args:
        known: as ``as_value`` returns it.
        values: ``z`` of the map.
        names: ``text`` of its cells, if any.
        label: what it is called.
    """
    first, *others = known["data"]
    cells, told = plot.map_json(values, names, STEPPED)
    trace = {**first, "z": plot.array(np.asarray(values)), **cells}
    trace.pop("text", None)
    if names is not None and "texts" not in told:
        trace["text"] = np.asarray(names).tolist()
    meta = {n: v for n, v in known["layout"]["meta"].items() if n not in ("texts", "steps")}
    layout = {**known["layout"], "meta": {**meta, **told, "label": label}}
    return {**known, "data": [trace, *others], "layout": layout}


def renamed(known: dict[str, Any], old: str, new: str) -> Iterator[Change]:
    """Yield what else changes where a figure says ``old`` in names and labels.

    Args:
        known: the figure as drawn for the first place.
        old: such as ``layer 3, head 2``.
        new: the same of another place.
    """
    for number, trace in enumerate(known["data"]):
        for name in ("name", "hovertemplate"):
            if old in str(trace.get(name, "")):
                yield [["data", number, name], trace[name].replace(old, new)]
    meta = known["layout"]["meta"]
    for name in ("label", "name"):
        short = [text.replace(", ", "-").replace(" ", "") for text in (old, new)]
        said = meta[name].replace(old, new).replace(*short)
        if said != meta[name]:
            yield [["layout", "meta", name], said]


def different(base: Any, other: Any, path: tuple[int | str, ...] = ()) -> Iterator[Change]:
    """Yield where one value is not another, as small as the difference is."""
    if isinstance(base, dict) and isinstance(other, dict) and base.keys() == other.keys():
        for name in base:
            yield from different(base[name], other[name], (*path, name))
    elif isinstance(base, list) and isinstance(other, list) and len(base) == len(other) < 64:
        for number, (one, two) in enumerate(zip(base, other, strict=True)):
            yield from different(one, two, (*path, number))
    elif base != other:
        yield [list(path), other]


def every(places: Iterable[Any], value: Callable[..., Any], base: Any) -> dict[Key, list[Change]]:
    """Return for every place how a value differs from the first one's."""
    return {place: list(different(base, value(*place))) for place in places}
