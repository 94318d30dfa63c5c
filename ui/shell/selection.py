"""The one selection that every panel of a page shares, and what a browser may say about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import gradio as gr
import numpy as np

from tokenarium.backend import TraceResult

JS = """
window.tokenarium.connect(props, watch, event => trigger(event));
// 'pick' 'zoom' 'point'
"""
PLACES = ("token", "query", "layer", "head", "step", "policy", "metric")
"""The parts of a selection that Python draws by."""


@dataclass(frozen=True)
class Selection:
    """A selection as a browser sends it, every value checked; None where nothing is chosen."""

    run: str | None = None
    token: int = 0
    query: int | None = None
    layer: int | None = None
    head: int | None = None
    view: str | None = None
    metric: str | None = None
    step: int | None = None
    policy: str | None = None
    runs: Mapping[str, str] = field(default_factory=dict)
    """By the name of a section, such as sweep or race, what it shows; also what ``run`` says."""
    running: Mapping[str, str] = field(default_factory=dict)
    """By the name of a section, the runs whose partial result it shows."""
    shown: Mapping[str, str] = field(default_factory=dict)
    """By the name of a section, the run that the page shows now."""
    fresh: bool = False
    """Whether the visitor has just opened a run: then no place in it is chosen yet."""
    reply: int | None = None
    """Number of the question, so that the browser knows the answer to its newest one."""
    tab: str | None = None
    """The view whose tab was pressed last: it is open already, and perhaps another by now."""

    @classmethod
    def read(cls, value: object) -> Self:
        """Keep what has the right type; drop the rest: a browser may send anything."""
        told = value if isinstance(value, dict) else {}
        run, runs = _name(told.get("run")), _names(told.get("runs"))
        runs = {**({"run": run} if run else {}), **runs}
        return cls(
            runs.get("run"),
            _whole(told.get("token")) or 0,
            _whole(told.get("query")),
            _whole(told.get("layer")),
            _whole(told.get("head")),
            _name(told.get("view")),
            _name(told.get("metric")),
            _whole(told.get("step")),
            _name(told.get("policy")),
            runs,
            _names(told.get("running")),
            _names(told.get("shown")),
            told.get("fresh") is True,
            _whole(told.get("reply")),
            _name(told.get("tab")),
        )

    def within(self, result: TraceResult) -> "Chosen":
        """Return the selection moved inside the result's tokens, layers and heads.

        Where no head is chosen, the strongest sink is: it has the most to show.
        """
        last = result.length - 1
        layer, head = self.layer, self.head
        if layer is None or head is None:
            sinks = np.nan_to_num(result.sink_score, nan=-1.0)
            layer, head = (int(i) for i in np.unravel_index(sinks.argmax(), sinks.shape))
        return Chosen(
            self.run,
            min(self.token, last),
            None if self.query is None else min(self.query, last),
            min(layer, result.layers - 1),
            min(head, result.heads - 1),
            self.metric,
        )


@dataclass(frozen=True)
class Chosen:
    """A selection that fits a result: every number is in range; ``metric`` is as sent."""

    run: str | None = None
    token: int = 0
    query: int | None = None
    layer: int = 0
    head: int = 0
    metric: str | None = None
    step: int = 0
    policy: str | None = None

    @classmethod
    def read(cls, value: object) -> Self:
        """Return what was drawn, as a browser kept it."""
        told = Selection.read(value)
        return cls(
            told.run,
            told.token,
            told.query,
            told.layer or 0,
            told.head or 0,
            told.metric,
            told.step or 0,
            told.policy,
        )


def selection(value: dict[str, Any] | None) -> gr.HTML:
    """Return the hidden component through which browser and Python exchange it."""
    return gr.HTML(
        value,
        html_template="<i hidden></i>",
        js_on_load=JS,
        elem_id="selection",
        elem_classes="tk-hidden",
    )


def number_of(text: str) -> int | None:
    """Return a number as an address has it; None where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _names(value: object) -> dict[str, str]:
    told = value if isinstance(value, dict) else {}
    return {
        key: ids
        for key, ids in told.items()
        if isinstance(key, str) and _name(ids, 256) is not None
    }


def _name(value: object, longest: int = 64) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= longest else None


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        return None
    return value
