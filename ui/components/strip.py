"""The token strip: the text as tokens, coloured by a metric without asking Python again."""

import base64
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from backend import Quantity, TraceResult
from ui.components.scripts import scripts
from ui.text import visible

TEMPLATE = """
<div class="tk-strip-head">
  <div class="tk-metrics" role="radiogroup" aria-label="Colour tokens by"></div>
  <div class="tk-legend"><span class="tk-low"></span><i class="tk-ramp" aria-hidden="true"></i>
    <span class="tk-high"></span><span class="tk-meaning"></span></div>
</div>
<div class="tk-strip" role="listbox" tabindex="0" aria-label="Tokens of the text"></div>
<div class="tk-readout" aria-live="polite"></div>
"""
JS = "window.tokenarium.strip(element, props, watch);"


@dataclass(frozen=True)
class Metric:
    """One way to colour the strip: a number per token and its definition."""

    title: str
    values: NDArray[np.floating[Any]]
    definition: Quantity
    scale: str = "linear"

    def payload(self) -> dict[str, Any]:
        """Return what the browser needs; colours run from the lowest value to the 99th percentile,
        so that one extreme token does not hide all others, and to the maximum if that is less
        than double."""
        values = self.values.astype("<f4")
        seen = values[np.isfinite(values)]
        low, high, top = (
            (0.0, 0.0, 0.0)
            if not len(seen)
            else (float(seen.min()), float(np.percentile(seen, 99)), float(seen.max()))
        )
        return {
            "title": self.title,
            "values": base64.b64encode(values.tobytes()).decode(),
            "low": low,
            "high": top if top < 2 * high or self.scale == "log" else high,
            "unit": self.definition.unit,
            "scale": self.scale,
            "meaning": self.definition.meaning,
            "formula": self.definition.formula,
        }


def metrics(result: TraceResult, layer: int, head: int) -> dict[str, Metric]:
    """Return the metrics of the strip, by the name used in the URL."""
    define = result.quantities()
    group = head * result.key_norm.shape[1] // result.heads
    rank = np.where(result.rank < 0, np.nan, result.rank)
    return {
        "attention": Metric(
            "received attention",
            np.nanmean(result.received_mass, (0, 1)) if result.layers_done else _nothing(result),
            define["received_mass"],
            "log",
        ),
        "surprisal": Metric("surprisal", result.surprisal_nats, define["surprisal_nats"]),
        "entropy": Metric("entropy", result.entropy_nats, define["entropy_nats"]),
        "varentropy": Metric("varentropy", result.varentropy_nats2, define["varentropy_nats2"]),
        "rank": Metric("rank", rank, define["rank"], "log"),
        "residual": Metric(
            "residual norm", result.residual_norm[-1], define["residual_norm"], "log"
        ),
        **head_metrics(result, layer, head, group),
    }


def head_metrics(
    result: TraceResult, layer: int, head: int, group: int | None = None
) -> dict[str, Metric]:
    """Return the metrics that belong to one head."""
    define = result.quantities()
    if group is None:
        group = head * result.key_norm.shape[1] // result.heads
    return {
        "head": Metric(
            "received in this head",
            result.received_mass[layer, head],
            define["received_mass"],
            "log",
        ),
        "value": Metric("value norm", result.value_norm[layer, group], define["value_norm"]),
        "key": Metric("key norm", result.key_norm[layer, group], define["key_norm"]),
    }


def strip_value(result: TraceResult, layer: int, head: int) -> dict[str, Any]:
    """Return the whole strip: texts, marks and every metric."""
    return {
        "tokens": [visible(text) for text in result.token_text],
        "special": np.flatnonzero(result.special).tolist(),
        "metrics": {name: m.payload() for name, m in metrics(result, layer, head).items()},
        "metric": "attention",
    }


def strip_patch(result: TraceResult, layer: int, head: int) -> dict[str, Any]:
    """Return only what another head changes."""
    return {"patch": {n: m.payload() for n, m in head_metrics(result, layer, head).items()}}


def strip(value: dict[str, Any] | None) -> gr.HTML:
    return gr.HTML(
        value,
        html_template=TEMPLATE,
        js_on_load=JS,
        head=scripts(),
        elem_id="strip",
        elem_classes="tk-block",
    )


def _nothing(result: TraceResult) -> NDArray[np.float32]:
    return np.full(result.length, np.nan, np.float32)
