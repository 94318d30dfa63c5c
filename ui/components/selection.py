"""The one selection that every view shares, and what a browser may say about it."""

from dataclasses import dataclass
from typing import Any, Self

import gradio as gr
import numpy as np

from tokenarium.backend import TraceResult
from tokenarium.ui.components.scripts import scripts

JS = """
const T = window.tokenarium;
T.connect(state => { props.value = state; trigger('pick'); });
T.bus.on('zoom', range => { props.value = {...T.state, zoom: range}; trigger('zoom'); });
T.show(props.value);
watch('value', () => { if (props.value && props.value.shown) T.show(props.value); });
"""


@dataclass(frozen=True)
class Selection:
    """A selection as told by a browser, every value checked; None where nothing is chosen."""

    run: str | None = None
    token: int = 0
    query: int | None = None
    layer: int | None = None
    head: int | None = None
    view: str | None = None
    metric: str | None = None

    @classmethod
    def read(cls, value: object) -> Self:
        """Keep what has the right type; drop the rest: a browser may send anything."""
        told = value if isinstance(value, dict) else {}
        return cls(
            _name(told.get("run")),
            _whole(told.get("token")) or 0,
            _whole(told.get("query")),
            _whole(told.get("layer")),
            _whole(told.get("head")),
            _name(told.get("view")),
            _name(told.get("metric")),
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
    """A selection that fits a result: every number is in range; ``metric`` is as told."""

    run: str | None
    token: int
    query: int | None
    layer: int
    head: int
    metric: str | None = None


def selection_value(chosen: Chosen, result: TraceResult, **more: Any) -> dict[str, Any]:
    """Return what the browser is told when another run is shown."""
    return {
        "run": chosen.run,
        "token": chosen.token,
        "query": chosen.query,
        "layer": chosen.layer,
        "head": chosen.head,
        "tokens": result.length,
        "layers": result.layers,
        "heads": result.heads,
        "shown": True,
        **more,
    }


def selection(value: dict[str, Any] | None) -> gr.HTML:
    return gr.HTML(
        value, html_template="<i hidden></i>", js_on_load=JS, head=scripts(), elem_id="selection"
    )


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 64 else None


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        return None
    return value
