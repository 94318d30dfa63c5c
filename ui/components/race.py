"""Several drafters on one prompt and autoregressive decoding, replayed in the time each took."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
import orjson

from tokenarium.backend import STATUSES, SpeculationResult
from tokenarium.ui.characters import displayed

TEMPLATE = """
<div class="tk-scrub">
  <button type="button" class="tk-play" aria-label="Play">▶</button>
  <input type="range" min="0" max="1000" value="1000" step="1" aria-label="Time of the race">
  <output></output>
  <label>Speed <select class="tk-speed" aria-label="Speed">
    <option value="1">as measured</option><option value="0.25" selected>a quarter</option>
    <option value="0.1">a tenth</option></select></label>
</div>
<div class="tk-racers"></div>
"""
JS = "window.tokenarium.race(element, props, watch);"


def race_value(runs: Sequence[tuple[str, str, SpeculationResult]]) -> str:
    """Return what the browser replays, as JSON: see ``speculation_value``.

    Args:
        runs: titles of drafter and rule, and result of each; the first has the run without drafts.
    """
    lanes = [_drafted(*run) for run in runs]
    first = runs[0][-1] if runs else None
    if first is not None and len(first.plain_ids):
        lanes.append(_plain(first))
    return orjson.dumps({"lanes": lanes}).decode()


def race(value: str | None) -> gr.HTML:
    return gr.HTML(
        value,
        html_template=TEMPLATE,
        js_on_load=JS,
        elem_id="race",
        elem_classes="tk-block",
    )


def _drafted(title: str, rule: str, result: SpeculationResult) -> dict[str, Any]:
    rounds = result.rounds
    times = rounds["draft_ms"] + rounds["verify_ms"] + rounds["other_ms"]
    places = result.node_columns["status"][result.token_node]
    return {
        "title": title,
        "note": rule,
        "texts": displayed(result.token_text),
        "marks": [STATUSES[place] for place in places],
        "counts": rounds["new_tokens"].tolist(),
        "ends": [round(float(ms), 2) for ms in times.cumsum()],
    }


def _plain(result: SpeculationResult) -> dict[str, Any]:
    spelled = [result.choice_text.get(str(key), "?") for key in result.plain_ids.tolist()]
    return {
        "title": "Plain decoding",
        "note": "one token a pass",
        "texts": displayed(spelled),
        "marks": ["plain"] * len(result.plain_ids),
        "counts": [1] * len(result.plain_ids),
        "ends": [round(float(ms), 2) for ms in result.plain_step_ms.cumsum()],
    }
