"""Lanes of a decoding run: text under which its entropy stands, events, the chosen step's card."""

from collections.abc import Callable
from math import isfinite
from typing import Any

import gradio as gr
import numpy as np
import orjson

from tokenarium.backend import ACTIONS, DecodedLane, DecodeResult, UserError
from tokenarium.ui.characters import displayed, written
from tokenarium.ui.components.speculation import visible_text
from tokenarium.ui.shell.selection import number_of
from tokenarium.ui.text import escape, many

MARKS = {
    "pause": ("‖", "paused"),
    "branch": ("ψ", "tried branches"),
    "roll_back": ("↶", "went back"),
    "switch": ("⇄", "switched mode"),
    "refuse": ("⊘", "refused a token"),
    "stop": ("■", "stopped"),
}
"""Sign and words of what happened at a step beside taking its token."""
TEMPLATE = """
<div class="tk-scrub">
  <button type="button" class="tk-play" aria-label="Play">▶</button>
  <input type="range" min="0" max="0" value="0" step="1" aria-label="Step">
  <output></output><button type="button" class="tk-jump">to the first difference</button>
</div>
<p class="tk-dec-key">{key}</p>
<p class="tk-dec-prompt"></p>
<div class="tk-dec-notes"></div>
<div class="tk-dec">
  <div class="tk-dec-lanes"></div>
  <aside class="tk-card tk-dec-card" aria-live="polite" aria-label="Chosen step" tabindex="0">
  </aside>
</div>
"""
JS = "window.tokenarium.decoding(element, props, watch, server);"
NEUTRAL = {
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "top_n_sigma": 0.0,
    "repetition_penalty": 1.0,
}
"""Values with which a step of sampling changes nothing: not worth the place in a lane's head."""
MOST = 1 << 12
"""Steps and ranks that fit into the number of a click: lane, step and rank are one number."""
RANKS = 32
ENDED = {
    "end": "ended with an end-of-text token",
    "length": "ended at the length",
    "stop": "was stopped",
}


def decoding_value(result: DecodeResult, run: str | None) -> str:
    """Return what the browser draws, as JSON.

    Args:
        result: of a run, finished or not.
        run: its id, from which the browser asks for steps; None while it is not stored.
    """
    lanes = [_lane(result, lane) for lane in result.lanes]
    value = {
        "run": run,
        "imported": result.imported,
        "prompt": visible_text(written(result.prompt_text)),
        "notes": list(result.notes),
        "lanes": lanes,
        "steps": max((len(lane["texts"]) for lane in lanes), default=0),
        "most": max(
            (float(np.nan_to_num(lane.entropy_nats).max(initial=0)) for lane in result.lanes),
            default=0,
        ),
    }
    return orjson.dumps(value).decode()


def decoding(value: str | None, step: Callable[[object], dict[str, Any]]) -> gr.HTML:
    """Return the component; ``step`` turns run, lane and step into that step's card."""

    # The browser's functions take one argument.
    def step_of(place: dict[str, Any]) -> dict[str, Any]:
        return step(place)

    return gr.HTML(
        value,
        html_template=template(),
        js_on_load=JS,
        server_functions=[step_of],
        elem_id="decoding",
        elem_classes="tk-block",
    )


def template() -> str:
    """Return the component's HTML, with what the signs over tokens mean."""
    key = "".join(
        f'<span title="{escape(words)}"><b>{sign}</b> {words}</span>'
        for sign, words in MARKS.values()
    )
    said = (
        "<span>The bar under a token is the model's entropy before it, in nats; the line is where "
        f"the strategy acts.</span>{key}<span>italic: by the small model of two</span>"
        "<span>underlined: guessed by the drafter</span>"
    )
    return TEMPLATE.format(key=said)


def place_of_road(result: Any, number: int) -> tuple[int, int]:
    """Return the new token, counted through all lanes, and the rank that a click names."""
    rest, rank = divmod(number, RANKS)
    lane, step = divmod(rest, MOST)
    if not isinstance(result, DecodeResult) or not 0 <= lane < len(result.lanes):
        return -1, rank
    if step >= len(result.lanes[lane].token_ids):
        return -1, rank
    return int((result.token_columns["lane"] < lane).sum()) + step, rank


def branch_of(written: str) -> tuple[str, list[int]]:
    """Return the run and the place, maybe with a rank, that an address names.

    Raises:
        UserError: if it names none.
    """
    run, *numbers = written.split(".")
    places = [number for each in numbers if (number := number_of(each)) is not None]
    if len(places) not in (1, 2) or len(places) < len(numbers):
        raise UserError(f"branch={written:.80}: give RUN.PLACE or RUN.PLACE.RANK")
    return run, places


def _lane(result: DecodeResult, lane: DecodedLane) -> dict[str, Any]:
    plain = result.lanes[0]
    both = min(len(plain.token_ids), len(lane.token_ids))
    apart = np.flatnonzero(plain.token_ids[:both] != lane.token_ids[:both])
    parameters = ", ".join(
        f"{name.replace('_', ' ')} {value}"
        for name, value in lane.parameters.items()
        if value != "" and NEUTRAL.get(name) != value
    )
    known = lane.entropy_nats[np.isfinite(lane.entropy_nats)]
    cost = [many(len(lane.token_ids), "token")]
    if lane.right is not None:
        cost.insert(0, score_words(lane) or ("right" if lane.right else "wrong"))
    if lane.passes >= 0:
        cost += [many(lane.passes, "pass", "passes"), f"{lane.seconds:.2f} s"]
    guessed = np.flatnonzero(lane.guessed).tolist()
    if guessed:
        cost.append(f"{many(len(guessed), 'token')} guessed ahead")
    if lane.small_passes:
        cost.append(many(lane.small_passes, "pass", "passes") + " of the small model")
    if len(known):
        bound = "" if lane.passes >= 0 else "at least "
        cost.append(f"mean entropy {bound}{float(known.mean()):.2f} nats")
    return {
        "title": lane.title,
        "note": parameters,
        "cost": " · ".join(cost),
        "texts": displayed(lane.token_text),
        "entropy": [
            round(float(value), 4) if isfinite(value) else None for value in lane.entropy_nats
        ],
        "lines": [[name, nats] for name, nats in lane.thresholds.items() if isfinite(nats)],
        "marks": _marks(lane),
        "guessed": guessed,
        "small": np.flatnonzero(lane.written_by_small).tolist(),
        "apart": int(apart[0]) if len(apart) else None,
        "ended": ENDED.get(lane.ended, ""),
        "remarks": _remarks(result, lane),
    }


def score_words(lane: DecodedLane) -> str:
    """Return how many trials of a lane are right; empty where it was written once."""
    if lane.trials < 2:
        return ""
    low, high = (round(100 * share) for share in lane.right_interval)
    share = round(100 * lane.trials_right / lane.trials)
    counted = f"right in {lane.trials_right} of {lane.trials} trials"
    return f"{counted} ({share} %, 95 % interval {low} to {high} %)"


def _remarks(result: DecodeResult, lane: DecodedLane) -> list[dict[str, Any]]:
    """Return what the strategy wrote into the journal in words, equal ones after another once."""
    found: list[dict[str, Any]] = []
    for row in lane.journal[lane.journal["reason"] >= 0]:
        action, reason = ACTIONS[row["action"]], result.reasons[row["reason"]]
        if found and (found[-1]["action"], found[-1]["reason"]) == (action, reason):
            found[-1]["times"] += 1
            continue
        found.append({"step": int(row["step"]), "action": action, "reason": reason, "times": 1})
    return [{**one, "action": one["action"].replace("_", " ")} for one in found]


def _marks(lane: DecodedLane) -> dict[str, str]:
    """Return the signs of what happened at each step, most telling first."""
    found: dict[str, list[str]] = {}
    for row in lane.journal:
        action = ACTIONS[row["action"]]
        if action in MARKS and row["parent"] <= 0:
            signs = found.setdefault(str(int(row["step"])), [])
            if MARKS[action][0] not in signs:
                signs.append(MARKS[action][0])
    return {step: "".join(signs) for step, signs in found.items()}
