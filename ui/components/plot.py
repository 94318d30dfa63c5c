"""A Plotly figure on the page: themed, linked and exportable."""

import base64
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray
from plotly.graph_objects import Figure, Heatmap
from plotly.io.json import to_json_plotly

from tokenarium.ui.text import escape

TEMPLATE = (
    '<section class="tk-figure"><h2>{title}</h2><p class="tk-sub">{explanation}</p></section>'
)
"""What differs between figures; the browser adds their frame, Save and Numbers, alike for all."""
JS = "window.tokenarium.plot(element, props, watch);"
MANY_CELLS = 128 * 128
STEPS = 2**16 - 2
FEW_CELLS = 1024
MOST_KINDS = 2**8 - 1
MOST_WORDS = 16


def figure_json(figure: Figure, many: int = MANY_CELLS) -> str:
    """Return a figure as the page reads it, without Plotly's template of 7 kB.

    A map of more than ``many`` cells travels as 16-bit steps from its lowest to its highest number,
    and ``layout.meta.steps`` says which: number = low + step (place - 1). Place 0 has no number;
    many cells have none, and zeros travel best. Whole numbers close together take a byte each.
    """
    found = figure.to_dict()  # no further Figure: to make one takes 10 ms
    found["layout"].pop("template", None)
    for trace in found["data"]:
        trace |= {axis: _narrow(trace[axis]) for axis in ("x", "y") if axis in trace}
    if _alike(found["data"]):
        found["layout"]["meta"] = {**(found["layout"].get("meta") or {}), "alike": True}
    heat = figure.data[0] if figure.data else None
    if isinstance(heat, Heatmap):
        cells, told = map_json(heat.z, heat.text, many)
        found["data"][0] |= cells
        if "texts" in told:
            del found["data"][0]["text"]
        if told:
            found["layout"]["meta"] = {**(found["layout"].get("meta") or {}), **told}
    return str(to_json_plotly(found))


def map_json(values: Any, texts: Any, many: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of a map travels packed: for its trace, and for ``layout.meta``.

    Args:
        values: ``z`` of the map.
        texts: ``text`` of its cells, if they have one.
        many: cells above which the values travel as 16-bit steps.
    """
    cells: dict[str, Any] = {}
    told: dict[str, Any] = {}
    if (packed := _few_words(texts)) is not None:
        told["texts"] = packed
    numbers = np.asarray(values, np.float64)
    kinds = _whole(numbers) if numbers.size > FEW_CELLS else None
    if kinds is not None or numbers.size > many:
        places, told["steps"] = kinds or stepped(numbers)
        cells["z"] = array(places)
    return cells, told


def array(values: NDArray[Any]) -> dict[str, str]:
    """Return numbers as Plotly's JSON has them: type, shape, bytes."""
    shape = {"shape": ", ".join(map(str, values.shape))} if values.ndim > 1 else {}
    return {
        "dtype": values.dtype.str[1:],
        "bdata": base64.b64encode(np.ascontiguousarray(values).tobytes()).decode(),
        **shape,
    }


def stepped(values: NDArray[np.floating]) -> tuple[NDArray[np.uint16], dict[str, float]]:
    """Return numbers as 16-bit steps, and their ``low`` and ``step``; 0 stands for no number."""
    seen = values[np.isfinite(values)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)
    step = (high - low) / STEPS or 1.0
    places = np.where(np.isfinite(values), 1 + np.rint((values - low) / step), 0)
    return places.astype("<u2"), {"low": low, "step": step}


def _whole(values: NDArray[np.floating]) -> tuple[NDArray[np.uint8], dict[str, float]] | None:
    """Return several whole numbers within 254 as ``stepped`` does, but a byte each; else None."""
    seen = values[np.isfinite(values)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)
    if not low < high < low + MOST_KINDS or (seen != np.rint(seen)).any():
        return None
    places = np.where(np.isfinite(values), 1 + values - low, 0)
    return places.astype("u1"), {"low": low, "step": 1.0}


def _narrow(sent: Any) -> Any:
    """Return float64 numbers along an axis in four bytes each where that says the same."""
    if not isinstance(sent, dict) or sent.get("dtype") != "f8" or "shape" in sent:
        return sent
    values = np.frombuffer(base64.b64decode(sent["bdata"]), "<f8")
    narrow = values.astype("<f4")
    return array(narrow) if np.array_equal(narrow, values, equal_nan=True) else sent


def _alike(traces: list[dict[str, Any]]) -> list[Any]:
    """Take from later traces the texts of their points that are those of the first; return them.

    Their place keeps ``True``; the browser puts the texts back.
    """
    texts = traces[0].get("customdata") if traces else None
    if not isinstance(texts, list) or not texts or not isinstance(texts[0], str):
        return []
    same = [trace for trace in traces[1:] if trace.get("customdata") == texts]
    for trace in same:
        trace["customdata"] = True
    return same


def _few_words(given: Any) -> dict[str, Any] | None:
    """Return the words of a map whose cells carry few different ones, each once; else None."""
    texts = None if given is None else np.asarray(given)
    if texts is None or texts.ndim != 2 or (texts == texts[:1, :1]).all():
        return None
    words, which = np.unique(texts, return_inverse=True)
    if len(words) > MOST_WORDS:
        return None
    places = base64.b64encode(which.astype(np.uint8).tobytes()).decode()
    return {"words": words.tolist(), "which": places, "across": texts.shape[1]}


def plot(figure: str | None, name: str, title: str, explanation: str) -> gr.HTML:
    """Return a host for a figure's JSON; its ``layout.meta`` says what the axes select."""
    return gr.HTML(
        figure,
        html_template=TEMPLATE.format(title=escape(title), explanation=escape(explanation)),
        js_on_load=JS,
        elem_id=f"plot-{name}",
        elem_classes="tk-block",
    )
