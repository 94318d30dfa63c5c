"""Texts that were written from one prompt, as a tree and beneath each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import gradio as gr
import numpy as np
import orjson

from tokenarium.backend import DecodedLane, DecodeRequest, DecodeResult
from tokenarium.ui.characters import displayed
from tokenarium.ui.components.speculation import visible_text
from tokenarium.ui.text import escape

TEMPLATE = """
<div class="tk-roads-head"><h2>Branches from this prompt</h2>
  <span class="tk-zoom"><button type="button" data-zoom="-1" aria-label="Smaller">&minus;</button>
  <button type="button" data-zoom="0">fit</button>
  <button type="button" data-zoom="1" aria-label="Larger">+</button></span>
  <button type="button" data-save="json">Save all (JSON)</button>
  <button type="button" data-save="text">Save all (text)</button>
  <button type="button" data-pruned hidden></button>
</div>
<p class="tk-sub tk-roads-said" role="status"></p>
<div class="tk-tree tk-road-tree" tabindex="0" role="group"
  aria-label="Tree of branches; arrow keys go from node to node"></div>
<div class="tk-roads"></div>
"""
JS = "window.tokenarium.roads(element, props, watch, server);"
SHORTEST = 1e-30


@dataclass(frozen=True)
class Road:
    """One lane of a stored run."""

    run: str
    result: DecodeResult
    request: DecodeRequest
    lane: DecodedLane
    name: str = ""
    """As a visitor called the run."""
    pruned: bool = False


def roads_value(shown: str, roads: Sequence[Road], said: str) -> str:
    """Return what the browser draws, as JSON.

    Args:
        shown: id of the run that the page shows.
        roads: lanes of it and of others from the same prompt; equal texts stand once.
        said: where there are none, or fewer than one may expect.
    """
    value: dict[str, Any] = {"run": shown, "said": said, "roads": [_road(road) for road in roads]}
    if roads:
        value["prompt"] = visible_text(roads[0].result.prompt_text)[-40:]
    return orjson.dumps(value).decode()


def roads(change: Callable[[object], dict[str, Any]]) -> gr.HTML:
    """Return the component; ``change`` names, prunes or brings back a run."""

    # The browser's functions take one argument.
    def road_change(asked: dict[str, Any]) -> dict[str, Any]:
        return change(asked)

    return gr.HTML(
        None,
        html_template=TEMPLATE,
        js_on_load=JS,
        server_functions=[road_change],
        elem_id="roads",
        elem_classes="tk-block",
    )


def none_of(said: str) -> str:
    """Return a value that shows words alone."""
    return orjson.dumps({"run": None, "said": said, "roads": []}).decode()


def _road(road: Road) -> dict[str, Any]:
    lane = road.lane
    known = lane.tokens["probability"].astype(np.float64)
    first = int((road.result.token_columns["lane"] < lane.number).sum())
    log_prob = float(np.log(np.maximum(known, SHORTEST)).mean()) if len(known) else 0.0
    return {
        "key": f"{road.run}:{lane.number}",
        "run": road.run,
        "lane": lane.number,
        "title": lane.title,
        "name": road.name,
        "pruned": road.pruned,
        "ids": lane.token_ids.tolist(),
        "texts": displayed(lane.token_text),
        "text": lane.text,
        "probs": [round(float(p), 4) if isfinite(p) else None for p in known],
        "given": len(road.request.begin),
        "mean_log_prob": round(log_prob, 4),
        "entropy": round(float(lane.entropy_nats.mean()), 4) if len(known) else 0.0,
        "passes": lane.passes,
        "token_steps": lane.token_steps,
        "seconds": round(lane.seconds, 3),
        "on": f"{road.run}.{first + len(known) - 1}" if len(known) else "",
    }


def sentence_of(count: int) -> str:
    """Return what stands over the tree."""
    if count < 2:
        return escape(
            "One text so far: press another token in the card above, and it branches there."
        )
    return escape(
        "Wide edges are likely tokens. Press a branch to put it beside the shown one; what differs "
        "first is underlined. Mean ln p is by the model, of every token."
    )
