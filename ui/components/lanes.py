"""The same text under several policies, one lane each, replayed step by step in the browser."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from ui.components.scripts import scripts
from ui.text import visible

TEMPLATE = """
<div class="tk-scrub">
  <button type="button" class="tk-play" aria-label="Play">▶</button>
  <input type="range" min="0" max="0" value="0" step="1" aria-label="Decode step">
  <output></output>
</div>
<div class="tk-lanes"></div>
"""
JS = "window.tokenarium.lanes(element, props, watch);"


@dataclass(frozen=True)
class Lane:
    """One policy's run: what it wrote, and when it dropped what."""

    title: str
    label: str
    """What it really does: evict, select, mask, ..."""
    texts: Sequence[str]
    """S generated tokens."""
    gone: NDArray[np.integer]
    """[P + S] step at which an entry was dropped, 0 right after the prompt; -1 for never."""
    apart: Sequence[int]
    """Steps at which its token is not the full cache's."""


def lanes_value(texts: Sequence[str], lanes: Sequence[Lane], step: int | None) -> dict[str, Any]:
    """Return what the browser draws.

    Args:
        texts: P prompt tokens.
        lanes: one per policy.
        step: the step to show first; the last one if None.
    """
    return {
        "prompt": len(texts),
        "steps": max((len(lane.texts) for lane in lanes), default=0),
        "step": step,
        "texts": [visible(text) for text in texts],
        "lanes": [
            {
                "title": lane.title,
                "label": lane.label,
                "texts": [visible(text) for text in lane.texts],
                "gone": base64.b64encode(np.asarray(lane.gone, "<i2").tobytes()).decode(),
                "apart": list(lane.apart),
            }
            for lane in lanes
        ],
    }


def lanes(value: dict[str, Any] | None) -> gr.HTML:
    return gr.HTML(
        value,
        html_template=TEMPLATE,
        js_on_load=JS,
        head=scripts(),
        elem_id="lanes",
        elem_classes="tk-block",
    )
