"""The same text under several policies, one lane each, replayed step by step in the browser."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from tokenarium.backend import KINDS, Protected
from tokenarium.ui.characters import displayed
from tokenarium.ui.text import escape

MOST_SELECTED_BYTES = 2**18
"""Selections of more are not sent: the map draws them."""
LEGEND = "".join(
    f'<span class="tk-kind tk-k-{kind.slug}" title="{escape(kind.meaning)}">{kind.title}</span>'
    for kind in KINDS
)
TEMPLATE = f"""
<div class="tk-scrub">
  <button type="button" class="tk-play" aria-label="Play">▶</button>
  <input type="range" min="0" max="0" value="0" step="1" aria-label="Decode step">
  <output></output>
  <button type="button" class="tk-jump">to the first difference</button>
</div>
<div class="tk-kinds" aria-label="Why a token is held">{LEGEND}
  <span class="tk-kind tk-made" title="Written by the model.">generated</span>
  <span class="tk-kind tk-next" title="The token that the model writes at this step.">next</span>
  <span class="tk-kind" data-apart title="The full model would have chosen another token here.">
  parts from full</span></div>
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
    """[P + S] step at which an entry was dropped, 0 right after the prompt; -1 for never,
    -2 where the layer has no such head."""
    apart: Sequence[int]
    """Steps at which its token is not the full cache's."""
    own: Protected
    """What the policy never drops, and what decides about the rest."""
    selected: Sequence[tuple[int, NDArray[np.uint8]]] = field(default_factory=tuple)
    """Steps and the bits of what they read, where that is not everything."""


def lanes_value(texts: Sequence[str], lanes: Sequence[Lane]) -> dict[str, Any]:
    """Return what the browser draws.

    Args:
        texts: P prompt tokens.
        lanes: one per policy.
    """
    return {
        "prompt": len(texts),
        "steps": max((len(lane.texts) for lane in lanes), default=0),
        "texts": displayed(texts),
        "titles": {kind.slug: kind.title for kind in KINDS},
        "lanes": [_lane(lane) for lane in lanes],
    }


def lanes(value: dict[str, Any] | None) -> gr.HTML:
    return gr.HTML(
        value,
        html_template=TEMPLATE,
        js_on_load=JS,
        elem_id="lanes",
        elem_classes="tk-block",
    )


def _lane(lane: Lane) -> dict[str, Any]:
    sent = lane.selected
    if sum(bits.nbytes for _, bits in sent) > MOST_SELECTED_BYTES:
        sent = ()
    rest = {"score": "heavy", "recency": "recent", "chance": "kept"}[lane.own.chooses]
    return {
        "title": lane.title,
        "label": lane.label,
        "texts": displayed(lane.texts),
        "gone": base64.b64encode(np.asarray(lane.gone, "<i2").tobytes()).decode(),
        "apart": list(lane.apart),
        "first": lane.own.first,
        "newest": lane.own.newest,
        "rest": "selected" if lane.label == "select" else rest,
        "selected": [[step, base64.b64encode(bits.tobytes()).decode()] for step, bits in sent],
    }
