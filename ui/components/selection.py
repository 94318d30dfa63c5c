"""The one selection that every view shares, and what a browser may say about it."""

from dataclasses import dataclass
from typing import Any, Self

import gradio as gr

from backend import TraceResult

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
    layer: int = 0
    head: int = 0

    @classmethod
    def read(cls, value: object) -> Self:
        """Keep what has the right type; drop the rest: a browser may send anything."""
        told = value if isinstance(value, dict) else {}
        run = told.get("run")
        return cls(
            run if isinstance(run, str) and 0 < len(run) <= 64 else None,
            _whole(told.get("token")) or 0,
            _whole(told.get("query")),
            _whole(told.get("layer")) or 0,
            _whole(told.get("head")) or 0,
        )

    def within(self, result: TraceResult) -> Self:
        """Return the selection moved inside the result's tokens, layers and heads."""
        last = result.length - 1
        return type(self)(
            self.run,
            min(self.token, last),
            None if self.query is None else min(self.query, last),
            min(self.layer, result.layers - 1),
            min(self.head, result.heads - 1),
        )


def selection_value(chosen: Selection, result: TraceResult, **more: Any) -> dict[str, Any]:
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
    return gr.HTML(value, html_template="<i hidden></i>", js_on_load=JS, elem_id="selection")


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        return None
    return value
