"""Lanes of a decoding run: text under which its entropy stands, events, the chosen step's card."""

from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from typing import Any

import gradio as gr
import numpy as np
import orjson

from tokenarium.backend import ACTIONS, DecodedLane, DecodeResult, UserError
from tokenarium.ui.characters import displayed, written
from tokenarium.ui.components.speculation import visible_text
from tokenarium.ui.components.table import Number, Numbers
from tokenarium.ui.shell.selection import number_of
from tokenarium.ui.text import escape, many
from tokenarium.ui.why.number import source
from tokenarium.ui.why.said import parted

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
        "notes": [parted(note, "notes", place) for place, note in enumerate(result.notes)],
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
    guessed = np.flatnonzero(lane.guessed).tolist()
    lines = [(name, nats) for name, nats in lane.thresholds.items() if isfinite(nats)]
    return {
        "title": lane.title,
        "note": parameters,
        "cost": joined(cost_of(lane), " · ").sent,
        "acts": lines_of(lane).sent,
        "texts": displayed(lane.token_text),
        "entropy": [
            round(float(value), 4) if isfinite(value) else None for value in lane.entropy_nats
        ],
        "lines": [list(line) for line in lines],
        "marks": _marks(lane),
        "guessed": guessed,
        "small": np.flatnonzero(lane.written_by_small).tolist(),
        "apart": int(apart[0]) if len(apart) else None,
        "ended": ENDED.get(lane.ended, ""),
        "remarks": _remarks(result, lane),
    }


def cost_of(lane: DecodedLane) -> Iterator[Numbers]:
    """Yield what a lane took and came to, a phrase each; its numbers open."""

    def of(shown: str, name: str, *at: int) -> Number:
        return Number(shown, source(name, lane.number, *at))

    if lane.right is not None:
        yield _score(lane) if lane.trials > 1 else Numbers(("right" if lane.right else "wrong",))
    yield Numbers((of(many(len(lane.token_ids), "token"), "lane_tokens"),))
    if lane.passes >= 0:
        yield Numbers((of(many(lane.passes, "pass", "passes"), "lane_passes"),))
        yield Numbers((of(f"{lane.seconds:.2f} s", "lane_seconds"),))
    if guessed := int(lane.guessed.sum()):
        yield Numbers((of(many(guessed, "token"), "lane_guessed"), " guessed ahead"))
    if small := lane.small_passes:
        passes = of(many(small, "pass", "passes"), "lane_small_passes")
        yield Numbers((passes, " of the small model"))
    known = lane.entropy_nats[np.isfinite(lane.entropy_nats)]
    if len(known):
        bound = "" if lane.passes >= 0 else "at least "
        mean = of(f"{float(known.mean()):.2f} nats", "mean_entropy")
        yield Numbers((f"mean entropy {bound}", mean))


def lines_of(lane: DecodedLane) -> Numbers:
    """Return at which entropies a lane acts; its numbers open."""
    lines = [
        Numbers((f"{name} ", Number(f"{nats:.2f} nats", source("threshold", lane.number, place))))
        for place, (name, nats) in enumerate(lane.thresholds.items())
        if isfinite(nats)
    ]
    return Numbers(("line: ", *joined(lines, ", ").parts) if lines else ())


def joined(phrases: Iterable[Numbers], between: str) -> Numbers:
    """Return phrases as one, with a text between them."""
    parts: list[str | Number] = []
    for phrase in phrases:
        parts += [between, *phrase.parts] if parts else phrase.parts
    return Numbers(tuple(parts))


def score_words(lane: DecodedLane) -> str:
    """Return how many trials of a lane are right; empty where it was written once."""
    if lane.trials < 2:
        return ""
    return _score(lane).text


def _score(lane: DecodedLane) -> Numbers:
    def of(shown: str, name: str, *at: int) -> Number:
        return Number(shown, source(name, lane.number, *at))

    low, high = (
        of(f"{100 * share:.0f}", "right_end", end) for end, share in enumerate(lane.right_interval)
    )
    right = of(f"{lane.trials_right}", "trials_right")
    share = of(f"{100 * lane.trials_right / lane.trials:.0f} %", "right_share")
    counted = ("right in ", right, " of ", of(f"{lane.trials}", "trials"), " trials (", share)
    return Numbers((*counted, ", 95 % interval ", low, " to ", high, " %)"))


def _remarks(result: DecodeResult, lane: DecodedLane) -> list[dict[str, Any]]:
    """Return what the strategy wrote into the journal in words, equal ones after another once."""
    found: list[dict[str, Any]] = []
    parts: list[list[list[str]]] = []
    for row in lane.journal[lane.journal["reason"] >= 0]:
        action, reason = ACTIONS[row["action"]], result.reasons[row["reason"]]
        if found and (found[-1]["action"], found[-1]["reason"]) == (action, reason):
            found[-1]["times"] += 1
            continue
        found.append({"step": int(row["step"]), "action": action, "reason": reason, "times": 1})
        parts.append(parted(reason, "reasons", int(row["reason"])))
    return [
        {**one, "action": one["action"].replace("_", " "), "reason": said}
        for one, said in zip(found, parts, strict=True)
    ]


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
