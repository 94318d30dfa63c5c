"""The card of one step: distributions before and after each processor, what was done and why."""

from math import isfinite
from typing import Any

import numpy as np

from tokenarium.backend import ACTIONS, MEANINGS, DecodedLane, DecodeResult
from tokenarium.ui.text import one_line
from tokenarium.ui.why.said import parted

MOST_ROWS = 60
"""Rows of the journal that are shown of one step."""


def step_value(result: DecodeResult, lane_number: int, step: int) -> dict[str, Any]:
    """Return what was known and done at one step of a lane."""
    lane = result.lanes[lane_number]
    own, rows = lane.tokens[step], _rows(result, lane, step)
    alternatives = [
        {
            "text": _text(result, key),
            "rank": rank,
            "probs": [_number(value) for value in lane.top_probs[step, :, rank]],
            "taken": key == int(own["token_id"]),
        }
        for rank, key in enumerate(lane.top_ids[step].tolist())
        if key >= 0
    ]
    return {
        "lane": lane_number,
        "step": step,
        "title": lane.title,
        "text": _text(result, own["token_id"]) if own["token_id"] >= 0 else "a mixture",
        "probability": _number(own["probability"]),
        "final": _number(own["final_probability"]),
        "rank": int(own["rank"]),
        "entropy": _number(own["entropy_nats"]),
        "varentropy": _number(own["varentropy_nats2"]),
        "passes": int(own["passes"]) if own["passes"] >= 0 else None,
        "stages": [
            [name, int(left) if left >= 0 else None, _number(entropy)]
            for name, left, entropy in zip(
                lane.stages, lane.tokens_left[step], lane.stage_entropy_nats[step], strict=True
            )
        ],
        "alternatives": alternatives,
        "tried": _branches(result, lane, step),
        "done": rows[:MOST_ROWS],
        "more": max(0, len(rows) - MOST_ROWS),
    }


def _branches(result: DecodeResult, lane: DecodedLane, step: int) -> list[dict[str, Any]]:
    """Return the branches that began at this step, each with its text."""
    found = []
    for place in np.flatnonzero(lane.branches["start"] == step).tolist():
        branch = lane.branches[place]
        rows = lane.journal[lane.journal["branch"] == branch["branch"]]
        tried = rows[[ACTIONS[row] in ("branch", "look_ahead") for row in rows["action"]]]
        found.append(
            {
                "text": "".join(_text(result, key) for key in tried["token"].tolist()),
                "tokens": int(branch["tokens"]),
                "kept": int(branch["kept"]),
                "log_prob": _number(branch["log_prob"]),
                "score": _number(branch["score"]),
                "at": place,
            }
        )
    return found


def _rows(result: DecodeResult, lane: DecodedLane, step: int) -> list[dict[str, Any]]:
    """Return what the journal says of this step, without the tokens of branches."""
    found = []
    for place in np.flatnonzero(lane.journal["step"] == step).tolist():
        row = lane.journal[place]
        action = ACTIONS[row["action"]]
        if action in ("branch", "look_ahead", "take") and row["reason"] < 0:
            continue
        found.append(
            {
                "action": action.replace("_", " "),
                "meaning": MEANINGS[action],
                "text": _text(result, row["token"]) if row["token"] >= 0 else "",
                "probability": _number(row["probability"]),
                "score": _number(row["score"]),
                "reason": _reason(result, int(row["reason"])),
                "at": place,
            }
        )
    return found


def _reason(result: DecodeResult, place: int) -> list[list[str]]:
    return parted(result.reasons[place], "reasons", place) if place >= 0 else []


def _text(result: DecodeResult, key: object) -> str:
    return one_line(result.choice_text.get(str(key), "?"))


def _number(value: object) -> float | None:
    number = float(value)  # type: ignore[arg-type]
    return float(f"{number:.4g}") if isfinite(number) else None
