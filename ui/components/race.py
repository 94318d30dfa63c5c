"""Several drafters on one prompt and autoregressive decoding, replayed in the time each took."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
import orjson

from tokenarium.backend import (
    STATUSES,
    Drafter,
    Lab,
    Rule,
    Run,
    SpeculateRequest,
    SpeculationResult,
)
from tokenarium.ui.characters import displayed
from tokenarium.ui.figures.picture import credit_of

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


def race_value(runs: Sequence[Run]) -> str:
    """Return what the browser replays, as JSON: see ``speculation_value``.

    Args:
        runs: of several drafters; the first one's run without drafts is the last lane.
    """
    lanes = [_drafted(run) for run in runs]
    first = _result(runs[0]) if runs else None
    if first is not None and len(first.plain_ids):
        lanes.append({**_plain(first), "run": runs[0].id, "plain": True})
    said, prompt = credit_of(runs)
    name = "-".join(run.id for run in runs)
    meta = {"caption": said, "prompt": prompt}
    return orjson.dumps({"lanes": lanes, "meta": meta, "run": name}).decode()


def race(value: str | None) -> gr.HTML:
    return gr.HTML(
        value,
        html_template=TEMPLATE,
        js_on_load=JS,
        elem_id="race",
        elem_classes="tk-block",
    )


def _result(run: Run) -> SpeculationResult:
    assert isinstance(run.result, SpeculationResult)
    return run.result


def _drafted(run: Run) -> dict[str, Any]:
    asked, result = run.request, _result(run)
    assert isinstance(asked, SpeculateRequest)
    titles = {each.slug: each.title for family in (Drafter, Rule) for each in Lab.methods(family)}
    rounds = result.rounds
    times = rounds["draft_ms"] + rounds["verify_ms"] + rounds["other_ms"]
    places = result.node_columns["status"][result.token_node]
    return {
        "title": titles[asked.drafter.slug],
        "note": titles[asked.rule.slug],
        "run": run.id,
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
